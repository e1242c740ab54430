"""How a method is run: settings, the loop, its state, its figures."""
