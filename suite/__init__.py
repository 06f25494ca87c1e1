"""Measures one case, runs many, keeps the records, makes the tables; knows no framework by name."""
