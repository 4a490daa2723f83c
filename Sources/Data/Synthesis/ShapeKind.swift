/// The outlines that synthetic classes are made of.
///
/// An outline is a test for points of the square −1…1 × −1…1, y downwards. The first ten differ clearly at
/// 14 pixels and up to 30° of rotation.
enum ShapeKind: String, CaseIterable, Sendable {
  case circle, square, triangle, star, cross, ring, crescent, heart, arrow, hourglass
  case semicircle, hexagon, bar, corner, tee, gate, stairs, clover, teardrop, gear

  /// Whether the point lies within the outline.
  func contains(_ x: Float, _ y: Float) -> Bool {
    let r2 = x * x + y * y
    switch self {
    case .circle: return r2 < 0.81
    case .square: return max(abs(x), abs(y)) < 0.78
    case .triangle: return y < 0.72 && y > 2.1 * abs(x) - 1
    case .star: return insideStar(x, y)
    case .cross: return min(abs(x), abs(y)) < 0.3 && max(abs(x), abs(y)) < 0.95
    case .ring: return r2 < 0.9 && r2 > 0.27
    case .crescent: return r2 < 0.9 && (x - 0.48) * (x - 0.48) + y * y > 0.6
    case .heart: return insideHeart(x, y)
    case .arrow:
      return (abs(x) < 0.26 && y > -0.2 && y < 0.95) || (y > -0.95 && y < 0.05 && abs(x) < 0.8 * (y + 0.95))
    case .hourglass: return abs(y) < 0.9 && abs(x) < 0.12 + 0.75 * abs(y)
    case .semicircle: return r2 < 0.95 && y < 0.05
    case .hexagon: return abs(y) < 0.78 && abs(y) + 1.732 * abs(x) < 1.56
    case .bar: return abs(x) < 0.95 && abs(y) < 0.3
    case .corner: return max(abs(x), abs(y)) < 0.85 && (x < -0.3 || y > 0.3)
    case .tee: return (abs(x) < 0.9 && y > -0.9 && y < -0.35) || (abs(x) < 0.28 && y > -0.9 && y < 0.9)
    case .gate: return max(abs(x), abs(y)) < 0.85 && (abs(x) > 0.38 || y < -0.38)
    case .stairs: return max(abs(x), abs(y)) < 0.9 && y > (x < -0.3 ? 0.3 : x < 0.3 ? -0.3 : -0.9)
    case .clover: return insideClover(x, y)
    case .teardrop:
      return x * x + (y - 0.3) * (y - 0.3) < 0.38 || (y < 0.3 && y > -1 && abs(x) < 0.48 * (y + 1))
    case .gear: return insideGear(x, y)
    }
  }

  /// Five points: in each of ten sectors the outline is the straight line from a tip to a notch.
  private func insideStar(_ x: Float, _ y: Float) -> Bool {
    // The tip directions (upwards first) fold the plane into one half sector.
    var best: Float = -2
    var side: Float = 0
    for (tx, ty) in ShapeKind.starTips {
      let along = x * tx + y * ty
      if along > best {
        best = along
        side = abs(x * ty - y * tx)
      }
    }
    // The line through the tip (1, 0) and the notch 0.42 · (cos 36°, sin 36°).
    let notchX: Float = 0.3398
    let notchY: Float = 0.2469
    return side * (1 - notchX) < notchY * (1 - best)
  }

  private static let starTips: [(Float, Float)] = [
    (0, -1), (0.95106, -0.30902), (0.58779, 0.80902), (-0.58779, 0.80902), (-0.95106, -0.30902),
  ]

  /// The sextic heart curve, scaled to the square.
  private func insideHeart(_ x: Float, _ y: Float) -> Bool {
    let u = 1.22 * x
    let v = 0.12 - 1.18 * y
    let a = u * u + v * v - 1
    return a * a * a < u * u * v * v * v
  }

  private func insideClover(_ x: Float, _ y: Float) -> Bool {
    let dx = abs(x) - 0.46
    let dy = abs(y) - 0.46
    return dx * dx + dy * dy < 0.2
  }

  private func insideGear(_ x: Float, _ y: Float) -> Bool {
    let r2 = x * x + y * y
    if r2 < 0.45 { return r2 > 0.09 }
    let diagonal: Float = 0.7071
    let teeth = min(
      min(abs(x), abs(y)), min(abs(x + y) * diagonal, abs(x - y) * diagonal))
    return r2 < 0.9 && teeth < 0.16
  }
}

/// How a synthetic shape is loadsWeights: where its second color goes.
enum TextureKind: String, CaseIterable, Sendable {
  case plain, striped, checkered, dotted, ringed

  /// Whether a point has the second color; `period` is the pattern's wavelength in the same units.
  func isSecondColor(_ x: Float, _ y: Float, period: Float) -> Bool {
    let u = x / period
    let v = y / period
    switch self {
    case .plain: return false
    case .striped: return u - u.rounded(.down) < 0.5
    case .checkered: return (u - u.rounded(.down) < 0.5) != (v - v.rounded(.down) < 0.5)
    case .dotted:
      let du = u - u.rounded()
      let dv = v - v.rounded()
      return du * du + dv * dv < 0.1
    case .ringed:
      let r = (u * u + v * v).squareRoot()
      return r - r.rounded(.down) < 0.5
    }
  }
}
