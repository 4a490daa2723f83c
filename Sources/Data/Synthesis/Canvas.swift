/// A square float picture that layers are painted on, values about 0…1.
struct Canvas {
  let side: Int
  private var pixels: [SIMD3<Float>]
  /// Samples a pixel along each axis, for antialiased edges.
  private static let supersampling = 3

  init(side: Int, color: SIMD3<Float>) {
    self.side = side
    pixels = Array(repeating: color, count: side * side)
  }

  /// Blends a layer over the picture.
  ///
  /// - Parameters:
  ///   - center, radius: a square in pixels outside of which `layer` is nil.
  ///   - opacity: 0…1.
  ///   - layer: the color at a point in pixels, or nil outside the layer.
  @inline(__always)
  mutating func paint(
    center: SIMD2<Float>, radius: Float, opacity: Float,
    _ layer: (_ x: Float, _ y: Float) -> SIMD3<Float>?
  ) {
    let columns = clamped(center.x, radius)
    let rows = clamped(center.y, radius)
    let step = 1 / Float(Canvas.supersampling)
    let share = opacity * step * step
    for y in rows {
      for x in columns {
        var sum = SIMD3<Float>.zero
        var covered: Float = 0
        for i in 0..<Canvas.supersampling {
          for j in 0..<Canvas.supersampling {
            let px = Float(x) + (Float(j) + 0.5) * step
            let py = Float(y) + (Float(i) + 0.5) * step
            guard let color = layer(px, py) else { continue }
            sum += color
            covered += 1
          }
        }
        guard covered > 0 else { continue }
        let index = y * side + x
        pixels[index] = pixels[index] * (1 - covered * share) + sum * share
      }
    }
  }

  /// Changes every pixel; the point is the pixel's center, in pixels.
  @inline(__always)
  mutating func map(_ change: (_ x: Float, _ y: Float, _ color: SIMD3<Float>) -> SIMD3<Float>) {
    for y in 0..<side {
      for x in 0..<side {
        let index = y * side + x
        pixels[index] = change(Float(x) + 0.5, Float(y) + 0.5, pixels[index])
      }
    }
  }

  /// The picture as 8-bit RGB.
  var image: RGBImage {
    var bytes = [UInt8]()
    bytes.reserveCapacity(pixels.count * 3)
    for color in pixels {
      let scaled = (color.clamped(lowerBound: .zero, upperBound: .one) * 255).rounded(.toNearestOrEven)
      for channel in 0..<3 { bytes.append(UInt8(scaled[channel])) }
    }
    return RGBImage(width: side, height: side, pixels: bytes)
  }

  private func clamped(_ center: Float, _ radius: Float) -> Range<Int> {
    let low = max(0, Int((center - radius).rounded(.down)))
    let high = min(side, Int((center + radius).rounded(.up)))
    return low..<max(low, high)
  }
}
