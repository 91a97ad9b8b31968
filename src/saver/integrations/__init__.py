"""Callbacks for the training loops of libraries, one module for each: import the one that you need."""
