/// Whatever a JPEG or WebP file holds, it is refused in one line, or gives an image within the limits, whole or at a part of its size.
func fuzzPictures(_ input: UnsafeBufferPointer<UInt8>) {
  let bytes = Array(input)
  let limits = ImageLimits(side: 512, bytes: 1 << 20)
  for format in [PictureCodecs.jpeg, PictureCodecs.webp] {
    let size = format.size(bytes)
    for atLeast in [0, 4] {
      mayRefuse {
        let image = try format.decode(bytes, "a", limits, atLeast)
        precondition(image.width <= 512 && image.height <= 512 && image.pixels.count == 3 * image.width * image.height)
        precondition(size != nil && (atLeast > 0 || image.pixels.count == 3 * size!.width * size!.height))
        // The sanitizer looks at every byte.
        precondition(image.pixels.reduce(0) { $0 &+ Int($1) } >= 0)
      }
    }
  }
}
