"""Bundle the page's libraries into single files: python scripts/vendor.py. Wanted only when a version changes.

It needs npm. The same versions give the same bytes; `versions.json` holds them with licence and SHA-512 of each file.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

OUT = Path(__file__).parents[1] / "src/ganvas/studio/page/vendor"
ESBUILD = "0.28.2"
LIBRARIES = {
    "lit": ("3.3.3", "BSD-3-Clause", "export * from 'lit'; export { repeat } from 'lit/directives/repeat.js';"),
    "openseadragon": ("6.1.1", "BSD-3-Clause", "export { default } from 'openseadragon';"),
    "three": (
        "0.187.0",
        "MIT",
        "export { BufferGeometry, Color, Float32BufferAttribute, Line, LineBasicMaterial, LineSegments, Matrix4, Mesh, "
        "MeshBasicMaterial, PerspectiveCamera, Raycaster, Scene, SphereGeometry, Vector2, Vector3, WebGLRenderer } "
        "from 'three'; export { OrbitControls } from 'three/addons/controls/OrbitControls.js';",
    ),
    "uplot": ("1.6.32", "MIT", "export { default } from 'uplot';"),
}
"""Package -> version, licence, and what the bundle exports."""


def main() -> None:
    """Fetch, bundle and note."""
    OUT.mkdir(parents=True, exist_ok=True)
    noted = {}
    with tempfile.TemporaryDirectory() as folder:
        packages = [f"{name}@{version}" for name, (version, _, _) in LIBRARIES.items()]
        subprocess.run(["npm", "init", "-y"], cwd=folder, check=True, capture_output=True)
        subprocess.run(["npm", "install", "--silent", f"esbuild@{ESBUILD}", *packages], cwd=folder, check=True)
        for name, (version, licence, entry) in LIBRARIES.items():
            (Path(folder) / "entry.js").write_text(entry)
            target = OUT / f"{name}.js"
            command = ["npx", "esbuild", "entry.js", "--bundle", "--minify", "--format=esm", "--legal-comments=inline"]
            subprocess.run(
                [*command, "--define:process.env.NODE_ENV='production'", f"--outfile={target}"], cwd=folder, check=True
            )
            (OUT / f"{name}.LICENSE").write_text(_licence(Path(folder) / "node_modules" / name))
            noted[name] = {
                "version": version,
                "licence": licence,
                "sha512": hashlib.sha512(target.read_bytes()).hexdigest(),
            }
        (OUT / "uplot.css").write_text((Path(folder) / "node_modules/uplot/dist/uPlot.min.css").read_text())
    (OUT / "versions.json").write_text(json.dumps({"esbuild": ESBUILD, "libraries": noted}, indent=2) + "\n")


def _licence(package: Path) -> str:
    found = [path for path in package.iterdir() if path.name.lower().startswith(("license", "licence"))]
    return found[0].read_text() if found else f"See {json.loads((package / 'package.json').read_text())['homepage']}\n"


if __name__ == "__main__":
    main()
