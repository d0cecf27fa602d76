"""Where image sets come from: layouts, archives, packing, the demo's renderer."""
