"""What ``kinspect capture`` says about the file that it wrote."""
