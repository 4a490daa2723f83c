@testable import MMoEData

/// The stupid oracle of the resampler: for every output pixel a sum over all source pixels, in double precision.
/// Not separable, no taps, no code of the library.
func referenceRender(
  _ image: RGBImage, _ view: ImageView, side width: Int, height rows: Int? = nil, _ normalization: PixelNormalization
) -> [Double] {
  let height = rows ?? width
  let scaleX = Double(view.width) / Double(width)
  let scaleY = Double(view.height) / Double(height)
  func triangle(_ distance: Double, _ scale: Double) -> Double { max(0, 1 - abs(distance) / max(scale, 1)) }

  var picture = [Double](repeating: 0, count: 3 * width * height)
  for row in 0..<height {
    for column in 0..<width {
      let shownX = (view.flipped ? width - 1 - column : column) + view.shiftX
      let shownY = row + view.shiftY
      // What comes in from outside is black.
      guard 0..<width ~= shownX, 0..<height ~= shownY else { continue }
      let centerX = Double(view.x) + (Double(shownX) + 0.5) * scaleX
      let centerY = Double(view.y) + (Double(shownY) + 0.5) * scaleY
      var total = 0.0
      var sums = [0.0, 0.0, 0.0]
      for y in 0..<image.height {
        let weightY = triangle(Double(y) + 0.5 - centerY, scaleY)
        for x in 0..<image.width {
          let weight = weightY * triangle(Double(x) + 0.5 - centerX, scaleX)
          total += weight
          for c in 0..<3 { sums[c] += weight * Double(image.pixels[(y * image.width + x) * 3 + c]) }
        }
      }
      for c in 0..<3 { picture[(c * height + row) * width + column] = sums[c] / total }
    }
  }

  let plane = width * height
  var grey = 0.0
  for i in 0..<plane { grey += 0.299 * picture[i] + 0.587 * picture[plane + i] + 0.114 * picture[2 * plane + i] }
  grey /= Double(plane)
  let brightness = Double(view.brightness)
  let contrast = Double(view.contrast)
  return picture.enumerated().map { i, value in
    let bright = brightness * value
    var result = brightness * grey + contrast * (bright - brightness * grey)
    if brightness != 1 || contrast != 1 { result = min(max(result, 0), 255) }
    let c = i / plane
    return (result / 255 - Double(normalization.mean[c])) / Double(normalization.deviation[c])
  }
}
