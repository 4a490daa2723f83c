/// Renders views of images as normalized float inputs: separable triangle filter, widened when
/// minifying (antialiased), exact where the scale is one.
///
/// One resampler per thread: it owns the scratch that its calls share. Plain IEEE arithmetic in a fixed order,
/// so results are the same bits everywhere.
final class Resampler {
  private let width: Int
  private let height: Int
  /// Pixels of the output.
  var pixels: Int { width * height }
  private let normalization: PixelNormalization
  private var columns = FilterTaps()
  private var rows = FilterTaps()
  private var scratch = FloatScratch()

  init(width: Int, height: Int, normalization: PixelNormalization) {
    (self.width, self.height, self.normalization) = (width, height, normalization)
  }

  convenience init(side: Int, normalization: PixelNormalization) {
    self.init(width: side, height: side, normalization: normalization)
  }

  /// Writes a view as `[3, height, width]` floats.
  func render(_ image: RGBImage, _ view: ImageView, into output: UnsafeMutablePointer<Float>) {
    columns.prepare(
      start: view.x, length: view.width, limit: image.width, outputs: width, shift: view.shiftX,
      reversed: view.flipped)
    rows.prepare(
      start: view.y, length: view.height, limit: image.height, outputs: height, shift: view.shiftY,
      reversed: false)
    let needed = rows.range
    scratch.reserve(needed.count * 3 * width)
    image.pixels.withUnsafeBufferPointer { pixels in
      if let source = pixels.baseAddress {
        resampleColumns(source, width: image.width, rows: needed)
      }
    }
    resampleRows(first: needed.lowerBound, into: output)
    finish(output, brightness: view.brightness, contrast: view.contrast)
  }

  /// Source rows to scratch `[row, 3, width]`.
  private func resampleColumns(_ source: UnsafePointer<UInt8>, width sourceWidth: Int, rows: Range<Int>) {
    let side = width
    columns.withTaps { starts, counts, weights, stride in
      for row in rows {
        let line = source + row * sourceWidth * 3
        let target = scratch.pointer + (row - rows.lowerBound) * 3 * side
        for i in 0..<side {
          var red: Float = 0
          var green: Float = 0
          var blue: Float = 0
          let taps = line + starts[i] * 3
          let weight = weights + i * stride
          for k in 0..<counts[i] {
            red += weight[k] * Float(taps[3 * k])
            green += weight[k] * Float(taps[3 * k + 1])
            blue += weight[k] * Float(taps[3 * k + 2])
          }
          target[i] = red
          target[side + i] = green
          target[2 * side + i] = blue
        }
      }
    }
  }

  /// Scratch to `output` `[3, height, width]`, values 0…255.
  private func resampleRows(first: Int, into output: UnsafeMutablePointer<Float>) {
    let (width, height) = (width, height)
    rows.withTaps { starts, counts, weights, stride in
      for y in 0..<height {
        for channel in 0..<3 {
          let target = output + (channel * height + y) * width
          target.update(repeating: 0, count: width)
          for k in 0..<counts[y] {
            let weight = weights[y * stride + k]
            let line = scratch.pointer + ((starts[y] + k - first) * 3 + channel) * width
            for x in 0..<width { target[x] += weight * line[x] }
          }
        }
      }
    }
  }

  /// Brightness and contrast, clamped to 0…255, then the normalization.
  private func finish(
    _ output: UnsafeMutablePointer<Float>, brightness: Float, contrast: Float
  ) {
    let plane = width * height
    if brightness != 1 || contrast != 1 {
      let gain = brightness * contrast
      let offset = brightness * (1 - contrast) * meanGrey(output)
      for i in 0..<3 * plane { output[i] = min(max(output[i] * gain + offset, 0), 255) }
    }
    for channel in 0..<3 {
      let gain = 1 / (255 * normalization.deviation[channel])
      let offset = normalization.mean[channel] / normalization.deviation[channel]
      let values = output + channel * plane
      for i in 0..<plane { values[i] = values[i] * gain - offset }
    }
  }

  /// Mean luma (ITU-R BT.601) of a `[3, height, width]` picture.
  private func meanGrey(_ values: UnsafeMutablePointer<Float>) -> Float {
    let plane = width * height
    let weights: SIMD3<Float> = [0.299, 0.587, 0.114]
    var sum: Float = 0
    for channel in 0..<3 {
      var total = SIMD8<Float>.zero
      let start = values + channel * plane
      var i = 0
      while i + 8 <= plane {
        total += UnsafeRawPointer(start + i).loadUnaligned(as: SIMD8<Float>.self)
        i += 8
      }
      var rest = total.sum()
      while i < plane {
        rest += start[i]
        i += 1
      }
      sum += weights[channel] * rest
    }
    return sum / Float(plane)
  }
}

/// A growing buffer without initialization.
struct FloatScratch: ~Copyable {
  private(set) var pointer = UnsafeMutablePointer<Float>.allocate(capacity: 1)
  private var capacity = 1

  /// Makes room for `count` floats; the contents are lost when the buffer grows.
  mutating func reserve(_ count: Int) {
    guard count > capacity else { return }
    pointer.deallocate()
    pointer = .allocate(capacity: count)
    capacity = count
  }

  deinit { pointer.deallocate() }
}
