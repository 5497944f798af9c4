"""Stores in format 1 that a reader must open, and stores with one fault each that it must refuse."""
