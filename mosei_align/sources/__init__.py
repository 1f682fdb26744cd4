"""Reading (and writing) what the dataset is made from: `.csd` files, word vectors, group maps."""
