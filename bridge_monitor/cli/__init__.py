"""The command line: parses words, wires a command, draws its result. Level 7: nothing imports it."""
