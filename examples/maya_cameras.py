"""Export cameras from Maya as the table that Ganvas reads: m0 ... m15, focal_length, filename.

In Maya's script editor (Python), with this file on the path:

    import maya_cameras
    maya_cameras.export_selected("/shot/cameras.csv")            # solved cameras, one a picture
    maya_cameras.export_animated("/shot/path.csv", "shotCam")    # an animated camera, one row a frame

Then: ganvas train reverse_matchmove --data /shot, or ganvas generate RUN --camera /shot/path.csv --out flight.mov.
The table has no film back; both functions print it: give it as --film-back 36x24.
Scenes saved as Maya ASCII (.ma) are read by Ganvas as they are.
"""

import csv

INCH_MM = 25.4
# Characters that Maya does not allow in names come out of FBX files as FBXASC and their code.
ESCAPES = {f"FBXASC{code:03d}": chr(code) for code in range(32, 127)}


def picture_name(node):
    """Return the picture that a solved camera was named after."""
    name = node.split("|")[-1].split(":")[-1]
    for escape, character in ESCAPES.items():
        name = name.replace(escape, character)
    return name


def write(path, rows):
    """Write (matrix of 16 numbers, focal length, file name) as a table."""
    with open(path, "w", newline="") as file:  # noqa: PTH123 - Maya's Python may be old
        table = csv.writer(file)
        table.writerow([f"m{place}" for place in range(16)] + ["focal_length", "filename"])
        for matrix, focal, name in rows:
            table.writerow([*matrix, focal, name])


def _lens(cmds, transform):
    shape = (cmds.listRelatives(transform, shapes=True, type="camera", fullPath=True) or [None])[0]
    if shape is None:
        raise ValueError(f"{transform} is no camera")
    return shape


def _tell(cmds, shape):
    film = [INCH_MM * cmds.getAttr(f"{shape}.{side}FilmAperture") for side in ("horizontal", "vertical")]
    print(f"Film back of {shape}: {film[0]:.3f} x {film[1]:.3f} mm")


def export_selected(path):
    """Write the selected cameras, each named after its picture."""
    from maya import cmds

    rows = []
    for transform in cmds.ls(selection=True, long=True, type="transform"):
        shape = _lens(cmds, transform)
        # worldMatrix is in Maya's own unit, the centimetre, whatever the scene shows.
        matrix = cmds.getAttr(f"{transform}.worldMatrix[0]")
        rows.append((matrix, cmds.getAttr(f"{shape}.focalLength"), picture_name(transform)))
        _tell(cmds, shape)
    write(path, rows)


def export_animated(path, camera, first=None, last=None):
    """Write one camera at each frame of a range, by default the playback range."""
    from maya import cmds

    first = int(cmds.playbackOptions(query=True, minTime=True)) if first is None else first
    last = int(cmds.playbackOptions(query=True, maxTime=True)) if last is None else last
    shape, rows = _lens(cmds, camera), []
    for frame in range(first, last + 1):
        matrix = cmds.getAttr(f"{camera}.worldMatrix[0]", time=frame)
        focal = cmds.getAttr(f"{shape}.focalLength", time=frame)
        rows.append((matrix, focal, f"{frame:06d}.png"))
    _tell(cmds, shape)
    write(path, rows)
