extension LogMel {
  /// The recording as a picture: time from left to right, bands from the bottom up, the loudest white.
  var picture: RGBImage { LogMel.picture(values, bands: bands, frames: frames) }

  /// A square picture of values as models read them, `[bands, frames]`.
  static func picture(_ values: [Float], bands: Int, frames: Int) -> RGBImage {
    var pixels = [UInt8](repeating: 0, count: bands * frames * 3)
    for (place, value) in values.enumerated() {
      let light = UInt8(min(max((value - silence) / 2, 0), 1) * 255)
      let at = ((bands - 1 - place / frames) * frames + place % frames) * 3
      for c in 0..<3 { pixels[at + c] = light }
    }
    let image = RGBImage(width: frames, height: bands, pixels: pixels)
    let side = max(bands, 128)
    return image.resampled(ImageView(whole: image), width: side, height: side)
  }
}
