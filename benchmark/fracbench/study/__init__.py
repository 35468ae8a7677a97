"""Do robust models look at the fracture more? The pre-registered analysis of what a results store holds."""
