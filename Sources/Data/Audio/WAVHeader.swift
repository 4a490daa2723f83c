/// What the chunks of a WAV file say up to its sound.
struct WAVHeader {
  /// The chunk `fmt `: the number of the encoding, samples per second, and bytes of all channels' samples at one time.
  private(set) var format: (encoding: Int, rate: Int, frameBytes: Int)?
  /// Where the sound begins, and how many bytes the file says it has; nil where the bytes end before it.
  private(set) var sound: (start: Int, size: Int)?

  /// - Parameter bytes: of the file, from its beginning.
  /// - Returns: nil for what is no WAV file.
  init?(_ bytes: [UInt8]) {
    func number(_ place: Int, _ count: Int) -> Int { (0..<count).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) } }
    func has(_ tag: String, at place: Int) -> Bool { bytes[place..<place + 4].elementsEqual(tag.utf8) }
    guard bytes.count >= 12, has("RIFF", at: 0), has("WAVE", at: 8) else { return nil }
    var place = 12
    while place + 8 <= bytes.count {
      let size = number(place + 4, 4)
      if has("fmt ", at: place), place + 24 <= bytes.count {
        format = (number(place + 8, 2), number(place + 12, 4), number(place + 20, 2))
      }
      if has("data", at: place) {
        sound = (place + 8, size)
        return
      }
      // Chunks begin at even places.
      place += 8 + size + size % 2
    }
  }
}
