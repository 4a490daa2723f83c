import Foundation
import MMoETensor

/// Draws of one sample, one after the other.
struct RandomSequence {
  private let random: CounterRandom
  private var index: UInt64 = 0

  init(_ random: CounterRandom) { self.random = random }

  mutating func uniform(_ low: Float, _ high: Float) -> Float {
    defer { index += 1 }
    return random.uniform(index, low, high)
  }

  mutating func integer(below bound: Int) -> Int {
    defer { index += 1 }
    return random.integer(index, below: bound)
  }

  mutating func color() -> SIMD3<Float> { SIMD3(uniform(0, 1), uniform(0, 1), uniform(0, 1)) }
}

/// Renders one synthetic picture: a textured, rotated, lit, partly occluded shape on a cluttered background.
///
/// The ranges below are the task's difficulty. Colors carry no information about the class, and one shape in twenty is
/// darker than what is behind it, not lighter, so that neither a linear model nor pixel distances get far. With even
/// odds the mean picture of a class would be grey: a transformer then sees no first-order signal and stays at chance
/// for many epochs.
struct SceneRenderer {
  let side: Int
  let shape: ShapeKind
  /// Nil for any.
  let texture: TextureKind?

  /// The shape's extent as a share of the picture.
  private let extent: ClosedRange<Float> = 0.55...0.85
  /// Largest rotation in radians.
  private let rotation: Float = 0.42
  /// Smallest distance between the shape's and the background's colors (black to white is 1.73).
  private let contrast: Float = 0.7
  /// Share of the shapes that are lighter than the background.
  private let lighter: Float = 0.95
  /// Brightness of the backgrounds.
  private let dusk: Float = 0.5
  /// Largest distance between the two colors of a texture.
  private let textureAmplitude: Float = 0.2
  /// Largest number of blobs and of lines behind the shape.
  private let clutter = 3
  /// Largest relative change of brightness from the center to an edge.
  private let lighting: Float = 0.35
  /// Share of the pictures with an occluder.
  private let occlusion: Float = 0.4
  /// Half the width of the uniform noise on every channel.
  private let noise: Float = 0.04

  /// The picture that the draws give.
  func render(_ draws: inout RandomSequence) -> RGBImage {
    let background = dusk * draws.color()
    var canvas = Canvas(side: side, color: background)
    paintClutter(&canvas, around: background, &draws)
    paintShape(&canvas, against: background, &draws)
    light(&canvas, &draws)
    return canvas.image
  }

  private func paintClutter(
    _ canvas: inout Canvas, around background: SIMD3<Float>, _ draws: inout RandomSequence
  ) {
    let size = Float(side)
    for _ in 0..<draws.integer(below: clutter + 1) {
      let center = SIMD2(draws.uniform(0, size), draws.uniform(0, size))
      let radius = draws.uniform(0.05, 0.3) * size
      let flatness = draws.uniform(0.4, 1)
      let color = background + 0.5 * (draws.color() - background)
      canvas.paint(center: center, radius: radius, opacity: draws.uniform(0.3, 0.8)) { x, y in
        let u = (x - center.x) / radius
        let v = (y - center.y) / (radius * flatness)
        return u * u + v * v < 1 ? color : nil
      }
    }
    for _ in 0..<draws.integer(below: clutter + 1) {
      let center = SIMD2(draws.uniform(0, size), draws.uniform(0, size))
      let angle = draws.uniform(0, .pi)
      let direction = SIMD2(cos(angle), sin(angle))
      let length = draws.uniform(0.2, 0.7) * size
      let width = draws.uniform(0.01, 0.04) * size
      let color = background + 0.7 * (draws.color() - background)
      canvas.paint(center: center, radius: length, opacity: draws.uniform(0.3, 0.9)) { x, y in
        let along = (x - center.x) * direction.x + (y - center.y) * direction.y
        let across = (x - center.x) * direction.y - (y - center.y) * direction.x
        return abs(along) < length && abs(across) < width ? color : nil
      }
    }
  }

  private func paintShape(
    _ canvas: inout Canvas, against background: SIMD3<Float>, _ draws: inout RandomSequence
  ) {
    let size = Float(side)
    let radius = draws.uniform(extent.lowerBound, extent.upperBound) * size / 2
    // Away from the middle by as much as keeps most of the shape within the picture.
    let slack = max(0, size / 2 - 0.9 * radius)
    let center = SIMD2(
      size / 2 + draws.uniform(-slack, slack), size / 2 + draws.uniform(-slack, slack))
    let angle = draws.uniform(-rotation, rotation)
    let (c, s) = (cos(angle), sin(angle))

    let isLighter = draws.uniform(0, 1) < lighter
    let first = distinctColor(from: background, isLighter: isLighter, &draws)
    let second = first + textureAmplitude * (draws.color() - 0.5) * 2
    let kinds = TextureKind.allCases
    let any = kinds[draws.integer(below: kinds.count)]
    let kind = texture ?? any
    let period = draws.uniform(0.35, 0.7)
    let phase = SIMD2(draws.uniform(0, 1), draws.uniform(0, 1))
    canvas.paint(center: center, radius: 1.45 * radius, opacity: 1) { x, y in
      let dx = (x - center.x) / radius
      let dy = (y - center.y) / radius
      let u = c * dx + s * dy
      let v = c * dy - s * dx
      guard shape.contains(u, v) else { return nil }
      return kind.isSecondColor(u + phase.x, v + phase.y, period: period) ? second : first
    }
    if draws.uniform(0, 1) < occlusion { paintOccluder(&canvas, over: center, radius, &draws) }
  }

  /// A bar across the shape's rim: covers a small part of it.
  private func paintOccluder(
    _ canvas: inout Canvas, over center: SIMD2<Float>, _ radius: Float,
    _ draws: inout RandomSequence
  ) {
    let angle = draws.uniform(0, 2 * .pi)
    let distance = draws.uniform(0.5, 1) * radius
    let middle = center + distance * SIMD2(cos(angle), sin(angle))
    let turn = draws.uniform(0, .pi)
    let direction = SIMD2(cos(turn), sin(turn))
    let length = draws.uniform(0.2, 0.45) * radius
    let width = draws.uniform(0.08, 0.2) * radius
    let color = draws.color()
    canvas.paint(center: middle, radius: length + width, opacity: 1) { x, y in
      let along = (x - middle.x) * direction.x + (y - middle.y) * direction.y
      let across = (x - middle.x) * direction.y - (y - middle.y) * direction.x
      return abs(along) < length && abs(across) < width ? color : nil
    }
  }

  /// A color at least `contrast` away from another, on the wanted side of its brightness; the farthest on that side
  /// of sixteen draws where none is that far.
  private func distinctColor(
    from other: SIMD3<Float>, isLighter: Bool, _ draws: inout RandomSequence
  ) -> SIMD3<Float> {
    var best = SIMD3<Float>(repeating: isLighter ? 1 : 0)
    var distance: Float = -1
    for _ in 0..<16 {
      let color = draws.color()
      let difference = color - other
      guard (difference.sum() > 0) == isLighter else { continue }
      let length = (difference * difference).sum().squareRoot()
      if length > distance {
        best = color
        distance = length
      }
      if length >= contrast { break }
    }
    return best
  }

  /// A linear change of brightness over the picture, and noise.
  private func light(_ canvas: inout Canvas, _ draws: inout RandomSequence) {
    let angle = draws.uniform(0, 2 * .pi)
    let slope = draws.uniform(0, lighting) * SIMD2(cos(angle), sin(angle)) * 2 / Float(side)
    let level = draws.uniform(0.85, 1.1)
    let middle = Float(side) / 2
    let amplitude = draws.uniform(0, noise)
    canvas.map { x, y, color in
      let gain = level * (1 + (x - middle) * slope.x + (y - middle) * slope.y)
      return color * gain + amplitude * (draws.color() * 2 - 1)
    }
  }
}
