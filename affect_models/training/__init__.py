"""What training adds to a network: losses, schedules, augmentation and the loop."""
