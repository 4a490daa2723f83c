import CPNG

/// Whatever a PNG file holds, the shim refuses it with a message or gives as many pixels as it says, within the limits.
func fuzzPNG(_ input: UnsafeBufferPointer<UInt8>) {
  let bytes = Array(input)
  let limits = mmoe_png_limits(side: 512, bytes: 1 << 20)
  for (form, channels) in [(MMOE_PNG_RGB8, 3), (MMOE_PNG_RGBA8, 4), (MMOE_PNG_SAMPLES, 0)] {
    var image = mmoe_png_image()
    var message = [CChar](repeating: 0, count: Int(MMOE_PNG_MESSAGE))
    guard mmoe_png_decode(bytes, bytes.count, limits, form, &image, &message) == 0 else {
      precondition(message[0] != 0 && image.pixels == nil, "no message, or pixels beside it")
      continue
    }
    let pixels = Int(image.width) * Int(image.height)
    precondition(image.width <= 512 && image.height <= 512 && pixels > 0)
    let depth = channels == 0 && image.bit_depth == 16 ? 2 : 1
    precondition(Int(image.size) == pixels * Int(image.channels) * depth)
    precondition(channels == 0 || Int(image.channels) == channels)
    // The sanitizer looks at every byte.
    var sum = 0
    for i in 0..<Int(image.size) { sum &+= Int(image.pixels[i]) }
    precondition(sum >= 0)
    mmoe_png_release(&image)
  }
}
