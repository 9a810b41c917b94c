"""What pictures show of a report, and where: one scene, one layout, one palette."""
