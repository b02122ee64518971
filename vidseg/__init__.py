"""vidseg: click an object in one frame and its mask follows it through the video."""
