import CSound
import Foundation
import MMoEFiles

/// A decoded recording: one channel of samples.
package struct Recording: Sendable, Equatable {
  /// What a decoder refuses.
  package struct Limits: Sendable, Equatable {
    /// Samples per second.
    package var rates = 4000...192_000
    package var channels = 1...2
    package var seconds = 300.0
    package init() {}
  }

  /// Samples per second.
  package let rate: Int
  /// −1…1 in files of whole numbers.
  package let samples: [Float]

  /// - Parameter rate: samples per second.
  package init(rate: Int, samples: [Float]) {
    precondition(rate > 0, "\(rate) samples per second")
    (self.rate, self.samples) = (rate, samples)
  }

  package var seconds: Double { Double(samples.count) / Double(rate) }

  /// Whether a file is a recording of a format that is read, by its name.
  static func reads(_ file: String) -> Bool { ImageFormat.suffix(of: file) == "wav" }

  /// Reads and decodes a WAV file.
  ///
  /// - Throws: `DataError` naming the file, as `init(decoding:name:limits:)`.
  package init(contentsOf path: String, limits: Limits = Limits()) throws {
    try self.init(decoding: readFile(path, limit: 1 << 30), name: path, limits: limits)
  }

  /// Decodes a WAV file in memory: whole numbers of 8 to 32 bits, floats, and what else libsndfile reads; two channels are
  /// mixed to their mean.
  ///
  /// - Parameter name: what messages call the file.
  /// - Throws: `DataError` naming the file: no WAV, damaged, cut, without samples, silent, with samples that are no numbers, or
  ///   over `limits`.
  package init(decoding bytes: [UInt8], name: String, limits: Limits = Limits()) throws {
    let chunk = try Recording.soundChunk(bytes, name)
    var header = mmoe_sound_header()
    try Recording.withMessage(name) { mmoe_sound_inspect(bytes, bytes.count, &header, $0) == 0 }
    guard limits.channels.contains(Int(header.channels)) else {
      throw DataError(
        name, found: "\(header.channels) channels",
        expected: "\(limits.channels.lowerBound) or \(limits.channels.upperBound)",
        remedy: "mix them down (`sox FILE OUT.wav channels 1`)")
    }
    guard limits.rates.contains(Int(header.rate)) else {
      throw DataError(
        name, found: "\(header.rate) samples per second",
        expected: "\(limits.rates.lowerBound) to \(limits.rates.upperBound)", remedy: "record it again")
    }
    guard header.frames > 0 else { throw DataError(name, found: "a recording without samples", remedy: "remove it") }
    let seconds = Double(header.frames) / Double(header.rate)
    guard seconds <= limits.seconds else {
      throw DataError(
        name, found: "\(Int(seconds.rounded())) seconds long", expected: "at most \(Int(limits.seconds))",
        remedy: "cut it into parts (`sox FILE OUT.wav trim 0 \(Int(limits.seconds))`)")
    }
    // What the header says takes memory before anything is decoded.
    guard header.frames <= UInt64(chunk) * 8 else {
      throw DataError(
        name, found: "\(header.frames) samples in \(chunk) bytes of sound", expected: "at most 8 for a byte",
        remedy: "convert it (`sox FILE -b 16 OUT.wav`)")
    }
    var got: Int64 = 0
    let samples = try [Float](unsafeUninitializedCapacity: Int(header.frames)) { buffer, count in
      buffer.initialize(repeating: 0)
      try Recording.withMessage(name) { message in
        got = mmoe_sound_decode(bytes, bytes.count, header, buffer.baseAddress!, message)
        return got >= 0
      }
      count = Int(header.frames)
    }
    guard got == Int64(header.frames) else {
      throw DataError(
        name, found: "cut: \(got) of \(header.frames) samples", remedy: "copy it again from where it came")
    }
    if let place = samples.firstIndex(where: { !(abs($0) <= Recording.loudest) }) {
      throw DataError(
        name, field: "sample \(place)", found: "\(samples[place])", expected: "a number of about −1 to 1",
        remedy: "convert it (`sox --norm FILE -b 16 OUT.wav`)")
    }
    guard samples.contains(where: { abs($0) >= Recording.quietest }) else {
      throw DataError(name, found: "silent", expected: "sound", remedy: "remove it, or record it again")
    }
    self.init(rate: Int(header.rate), samples: samples)
  }

  /// Beyond this a float is no sample: files of whole numbers that were declared floats have 32,768.
  private static let loudest: Float = 100
  /// Half the smallest step of 16 bits.
  private static let quietest: Float = 1 / 65_536

  /// Bytes of a WAV file's chunk of samples. libsndfile reads what is there of a cut file without a word.
  ///
  /// - Throws: `DataError` for a file that is no WAV, has no samples, or ends before them.
  private static func soundChunk(_ bytes: [UInt8], _ name: String) throws -> Int {
    guard let header = WAVHeader(bytes) else {
      let kind = FileKind.signed(Array(bytes.prefix(FileKind.sampleSize)))?.name
      throw DataError(
        name, found: bytes.isEmpty ? "empty" : kind ?? "not a WAV file", expected: "a WAV recording",
        remedy: bytes.isEmpty ? "copy it again" : "convert it (`ffmpeg -i FILE OUT.wav`)")
    }
    guard let sound = header.sound else {
      throw DataError(
        name, found: "cut before its sound", expected: "a WAV recording", remedy: "copy it again from where it came")
    }
    let left = bytes.count - sound.start
    // A program that writes to a pipe cannot know the size, and says the largest one that there is.
    guard sound.size <= left || sound.size >= 0x7FFF_0000 else {
      throw DataError(
        name, found: "cut: \(left) of \(sound.size) bytes of sound", remedy: "copy it again from where it came")
    }
    return min(sound.size, left)
  }

  /// Runs a call of the shim and turns its message into an error.
  private static func withMessage(_ name: String, _ call: (UnsafeMutablePointer<CChar>) -> Bool) throws {
    var message = [CChar](repeating: 0, count: Int(MMOE_SOUND_MESSAGE))
    let (isGood, text) = message.withUnsafeMutableBufferPointer { buffer in
      let isGood = call(buffer.baseAddress!)
      return (isGood, String(cString: buffer.baseAddress!))
    }
    if !isGood {
      throw DataError(
        name, found: "damaged (\(text))", expected: "a WAV recording", remedy: "copy it again from where it came")
    }
  }
}

extension Recording {
  /// Whether a file is so long that a model with `frames` frames of `LogMel` does not hear its end. Only its header is read; a
  /// file that cannot be decoded, or whose samples are compressed, is not.
  static func isLonger(_ path: String, thanFrames frames: Int) throws -> Bool {
    guard let file = FileHandle(forReadingAtPath: path) else { return false }
    defer { try? file.close() }
    let bytes = [UInt8]((try? file.read(upToCount: 4096)) ?? Data())
    guard let header = WAVHeader(bytes), let format = header.format, let sound = header.sound,
      [1, 3, 0xFFFE].contains(format.encoding), format.rate > 0, format.frameBytes > 0
    else { return false }
    let samples = min(sound.size, try fileSize(path) - sound.start) / format.frameBytes
    return LogMel.frames(of: samples * LogMel.rate / format.rate) > frames
  }
}
