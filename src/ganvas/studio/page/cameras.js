// Cameras as thirteen numbers, as the server has them: the matrix from camera to world by rows, then the focal length in
// millimetres. A camera looks along the negative of its third column.
const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const add = (a, b, share = 1) => a.map((value, axis) => value + share * b[axis]);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const unit = a => { const length = Math.hypot(...a); return length > 1e-9 ? a.map(value => value / length) : null; };

const column = (camera, number) => [camera[number], camera[4 + number], camera[8 + number]];
export const place = camera => column(camera, 3);
export const direction = camera => column(camera, 2).map(value => -value);

// Which way is up: what the training cameras have in common.
export const upOf = cameras => unit(cameras.map(camera => column(camera, 1)).reduce((sum, each) => add(sum, each), [0, 0, 0])) ?? [0, 1, 0];

export function lookFrom(at, towards, up, focal) {
  const back = unit(towards.map(value => -value));
  // Straight up or down, any direction across will do.
  const right = unit(cross(up, back)) ?? unit(cross(add(up, [0.31, 0.17, 0.23]), back));
  const above = cross(back, right);
  return [0, 1, 2].flatMap(axis => [right[axis], above[axis], back[axis], at[axis]]).concat(focal);
}

function turned(vector, axis, angle) {  // about an axis of length 1 (Rodrigues)
  const along = dot(vector, axis), across = cross(axis, vector);
  return vector.map((value, number) => value * Math.cos(angle) + across[number] * Math.sin(angle) + axis[number] * along * (1 - Math.cos(angle)));
}

// Turned to the left and upwards, in radians; it never tips over.
export function turn(camera, left, upwards, up) {
  const level = turned(direction(camera), up, left), across = unit(cross(level, up));
  const raised = across ? turned(level, across, upwards) : level;
  return lookFrom(place(camera), Math.abs(dot(unit(raised), up)) < 0.98 ? raised : level, up, camera[12]);
}

// Moved along its own axes, in the world's units.
export function move(camera, right, above, ahead) {
  const at = add(add(add(place(camera), column(camera, 0), right), column(camera, 1), above), direction(camera), ahead);
  return camera.map((value, number) => number % 4 === 3 ? at[(number - 3) / 4] : value);
}

// Cameras along a line that was drawn by hand, each looking where the line goes: a few, evenly spread, for a smooth path.
export function along(points, up, focal, most = 8) {
  const lengths = [0];
  for (let number = 1; number < points.length; number += 1) lengths.push(lengths.at(-1) + Math.hypot(...add(points[number], points[number - 1], -1)));
  if (!(lengths.at(-1) > 0)) return [];
  const count = Math.min(most, Math.max(2, points.length));
  const at = share => {
    const wanted = share * lengths.at(-1);
    const next = Math.max(1, lengths.findIndex(length => length >= wanted));
    const part = (wanted - lengths[next - 1]) / (lengths[next] - lengths[next - 1] || 1);
    return add(points[next - 1], add(points[next], points[next - 1], -1), part);
  };
  const stops = Array.from({length: count}, (_, number) => at(number / (count - 1)));
  return stops.map((stop, number) => {
    const towards = unit(add(stops[Math.min(count - 1, number + 1)], stops[Math.max(0, number - 1)], -1));
    return towards && lookFrom(stop, towards, up, focal);
  }).filter(Boolean);
}

// Moved by a way in the world.
export const shifted = (camera, way) => camera.map((value, number) => number % 4 === 3 ? value + way[(number - 3) / 4] : value);

// By how much one point lies to the left of another and above it, in radians, seen from a place.
export function anglesBetween(from, to, centre, up) {
  const [a, b] = [from, to].map(point => unit(add(point, centre, -1)));
  const flat = vector => unit(add(vector, up, -dot(vector, up)));
  const [level, next] = [flat(a), flat(b)];
  if (!level || !next) return [0, 0];
  const left = Math.atan2(dot(cross(level, next), up), dot(level, next));
  return [left, Math.asin(Math.max(-1, Math.min(1, dot(b, up)))) - Math.asin(Math.max(-1, Math.min(1, dot(a, up))))];
}
