import CPictures
import MMoEFiles

/// Reads JPEG and WebP files, with libjpeg-turbo, libexif and libwebp behind a shim.
enum PictureCodecs {
  /// Grey, CMYK and YCCK files become RGB, and EXIF's orientation is applied. Color profiles are ignored.
  static let jpeg = ImageFormat(
    name: "JPEG", suffixes: ["jpg", "jpeg", "jpe", "jfif"], signature: { $0.starts(with: [0xFF, 0xD8, 0xFF]) },
    size: { bytes in size { mmoe_jpeg_size(bytes, bytes.count, &$0, &$1) } },
    decode: { bytes, name, limits, atLeast in
      try decode(name, limits) { mmoe_jpeg_decode(bytes, bytes.count, $0, UInt32(clamping: atLeast), &$1, $2) }
    })

  /// Transparent pixels are composited over white; animations are refused.
  static let webp = ImageFormat(
    name: "WebP", suffixes: ["webp"],
    signature: { $0.starts(with: "RIFF".utf8) && $0.dropFirst(8).starts(with: "WEBP".utf8) },
    size: { bytes in size { mmoe_webp_size(bytes, bytes.count, &$0, &$1) } },
    decode: { bytes, name, limits, _ in
      try decode(name, limits) { mmoe_webp_decode(bytes, bytes.count, $0, &$1, $2) }
    })

  private static func size(_ call: (inout UInt32, inout UInt32) -> Int32) -> (width: Int, height: Int)? {
    var (width, height) = (UInt32(0), UInt32(0))
    return call(&width, &height) == 0 ? (Int(width), Int(height)) : nil
  }

  private static func decode(
    _ name: String, _ limits: ImageLimits,
    _ call: (mmoe_picture_limits, inout mmoe_picture, UnsafeMutablePointer<CChar>) -> Int32
  ) throws -> RGBImage {
    var picture = mmoe_picture()
    var message = [CChar](repeating: 0, count: Int(MMOE_PICTURE_MESSAGE))
    let shimLimits = mmoe_picture_limits(side: UInt32(clamping: limits.side), bytes: UInt64(clamping: limits.bytes))
    let (status, text) = message.withUnsafeMutableBufferPointer { buffer in
      let status = call(shimLimits, &picture, buffer.baseAddress!)
      return (status, String(cString: buffer.baseAddress!))
    }
    guard status == 0 else { throw DataError(name, found: text) }
    defer { mmoe_picture_release(&picture) }
    let (width, height) = (Int(picture.width), Int(picture.height))
    let pixels = [UInt8](UnsafeBufferPointer(start: picture.pixels, count: width * height * 3))
    return RGBImage(width: width, height: height, pixels: pixels).upright(orientation: Int(picture.orientation))
  }
}

extension RGBImage {
  /// The picture turned and mirrored as EXIF's orientation says.
  ///
  /// - Parameter orientation: 1 to 8 as in EXIF 2.3, section 4.6.4: where the stored first row and first column are seen.
  func upright(orientation: Int) -> RGBImage {
    // Where the pixel at the left of row y comes from, and how far apart in the stored picture its neighbors in x and y are.
    let (w, h) = (width, height)
    let (start, stepX, stepY, isTurned): (Int, Int, Int, Bool) =
      switch orientation {
      case 2: (w - 1, -1, w, false)
      case 3: (w * h - 1, -1, -w, false)
      case 4: (w * (h - 1), 1, -w, false)
      case 5: (0, w, 1, true)
      case 6: (w * (h - 1), -w, 1, true)
      case 7: (w * h - 1, -w, -1, true)
      case 8: (w - 1, w, -1, true)
      default: (0, 1, w, false)
      }
    if start == 0 && stepX == 1 { return self }
    let (columns, rows) = isTurned ? (h, w) : (w, h)
    let turned = [UInt8](unsafeUninitializedCapacity: pixels.count) { target, count in
      pixels.withUnsafeBufferPointer { source in
        var next = 0
        for y in 0..<rows {
          var place = 3 * (start + y * stepY)
          for _ in 0..<columns {
            for channel in 0..<3 { target[next + channel] = source[place + channel] }
            next += 3
            place += 3 * stepX
          }
        }
      }
      count = pixels.count
    }
    return RGBImage(width: columns, height: rows, pixels: turned)
  }
}
