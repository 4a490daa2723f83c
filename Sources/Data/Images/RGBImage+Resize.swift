extension RGBImage {
  /// A part of the picture at another size, by the filter that models see pictures through.
  func resampled(_ view: ImageView, width: Int, height: Int) -> RGBImage {
    let plane = width * height
    var values = FloatScratch()
    values.reserve(3 * plane)
    Resampler(width: width, height: height, normalization: .bytes).render(self, view, into: values.pointer)
    let planes = values.pointer
    let pixels = [UInt8](unsafeUninitializedCapacity: 3 * plane) { target, count in
      for place in 0..<plane {
        for channel in 0..<3 {
          target[3 * place + channel] = UInt8(min(max(planes[channel * plane + place], 0), 255).rounded())
        }
      }
      count = 3 * plane
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  /// The picture with its shorter side made as small as `shorterSide`, and whether it was larger.
  func fitted(shorterSide: Int?) -> (image: RGBImage, isResized: Bool) {
    guard let side = shorterSide, min(width, height) > side else { return (self, false) }
    let scale = Double(side) / Double(min(width, height))
    func scaled(_ length: Int) -> Int { max(side, Int((Double(length) * scale).rounded())) }
    return (resampled(ImageView(whole: self), width: scaled(width), height: scaled(height)), true)
  }
}
