"""The built-in plugins of fracbench, registered through the same door as anyone's."""
