"""From a posed scene graph to pixels: one ray caster and one light for everything."""
