"""DeViSE's heart: the hinge rank loss and the map M."""
