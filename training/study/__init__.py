"""The synthetic benchmark: networks of several training arms measured on the same made scenes."""
