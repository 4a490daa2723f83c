import Foundation

@testable import MMoEData

/// Makes WAV files of any form, sane or not.
struct WAVWriter {
  enum Form {
    case bits8, bits16, bits24, float
  }

  var form = Form.bits16
  var channels = 1
  var rate = 16_000
  /// What the chunk of samples says of its size; nil = the truth.
  var claimed: UInt32?
  /// The form that files of several channels and more than 16 bits have.
  var isExtensible = false
  /// A chunk before the samples.
  var note: [UInt8] = []

  /// - Parameter samples: −1…1, channels interleaved.
  func bytes(_ samples: [Float]) -> [UInt8] {
    let sound: [UInt8] =
      switch form {
      case .bits8: samples.map { UInt8(clamping: Int(($0 * 128).rounded()) + 128) }
      case .bits16: samples.flatMap { little(Int(($0 * 32_767).rounded()), 2) }
      case .bits24: samples.flatMap { little(Int(($0 * 8_388_607).rounded()), 3) }
      case .float: samples.flatMap { little(Int($0.bitPattern), 4) }
      }
    let size = [Form.bits8: 1, .bits16: 2, .bits24: 3, .float: 4][form]!
    let kind = form == .float ? 3 : 1
    var format = little(isExtensible ? 0xFFFE : kind, 2) + little(channels, 2) + little(rate, 4)
    format += little(rate * channels * size, 4) + little(channels * size, 2) + little(size * 8, 2)
    if isExtensible {
      format += little(22, 2) + little(size * 8, 2) + little((1 << channels) - 1, 4) + little(kind, 2)
      format += [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71]
    }
    var body = [UInt8]("WAVE".utf8) + [UInt8]("fmt ".utf8) + little(format.count, 4) + format
    if !note.isEmpty {
      body += [UInt8]("LIST".utf8) + little(note.count, 4) + note + (note.count % 2 == 0 ? [] : [0])
    }
    body += [UInt8]("data".utf8) + little(Int(claimed ?? UInt32(sound.count)), 4) + sound
    return [UInt8]("RIFF".utf8) + little(body.count, 4) + body
  }

  private func little(_ value: Int, _ bytes: Int) -> [UInt8] {
    (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  /// Tones of several pitches that swell and fade.
  static func tones(_ seconds: Double, rate: Int, _ pitches: [Double] = [220, 1300, 3100]) -> [Float] {
    (0..<Int(seconds * Double(rate))).map { n in
      let t = Double(n) / Double(rate)
      let sum = pitches.enumerated().reduce(0) { $0 + sin(2 * .pi * $1.element * t) / Double($1.offset + 2) }
      return Float(0.4 * sum * sin(.pi * t / seconds))
    }
  }
}
