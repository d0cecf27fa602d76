"""Models beside the papers', fitted in closed form."""
