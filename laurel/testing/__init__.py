"""What tests of Laurel, and of what is built on it, may use: shipped with the package."""
