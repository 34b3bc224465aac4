"""Files of arrays of pictures: what is in them, and the same files again."""
