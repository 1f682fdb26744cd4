"""CMU-MOSEI `.csd` files -> an aligned, accounted-for dataset directory."""
