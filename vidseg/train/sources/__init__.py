"""Where clips come from: real video, pseudo-videos of stills, procedural scenes, and mixtures of them."""

from vidseg.train.sources.examples import Example, Examples
from vidseg.train.sources.mixture import Mixture, mixture
from vidseg.train.sources.procedural import Scenes
from vidseg.train.sources.pseudo_video import Recipe
from vidseg.train.sources.stills import Stills
from vidseg.train.sources.video_folders import VideoFolders

__all__ = ["Example", "Examples", "Mixture", "Recipe", "Scenes", "Stills", "VideoFolders", "mixture"]
