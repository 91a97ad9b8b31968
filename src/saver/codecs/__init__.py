"""One file for each family of classes. Nothing is imported here before an object of the family is met."""
