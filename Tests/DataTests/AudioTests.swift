import Foundation
import MMoETensor
import Testing

@testable import MMoEData

/// Recordings: files, rates, spectrograms, and what is wrong with them.
@Suite struct AudioTests {
  @Test(
    arguments: [
      (WAVWriter(), 1e-4), (WAVWriter(form: .bits24), 1e-6), (WAVWriter(form: .float), 0.0),
      (WAVWriter(form: .bits8), 0.01),
      (WAVWriter(form: .bits24, isExtensible: true, note: [1, 2, 3]), 1e-6),
      (WAVWriter(rate: 22_050, claimed: 0x7FFF_F000), 1e-4), (WAVWriter(form: .float, claimed: .max), 0.0),
    ] as [(WAVWriter, Double)])
  func decodesForms(writer: WAVWriter, error: Double) throws {
    let samples = WAVWriter.tones(0.05, rate: writer.rate)
    let found = try Recording(decoding: writer.bytes(samples), name: "a.wav")
    #expect(found.rate == writer.rate && found.samples.count == samples.count)
    #expect(zip(found.samples, samples).allSatisfy { Double(abs($0 - $1)) <= error })
  }

  @Test func mixesTwoChannels() throws {
    let found = try Recording(
      decoding: WAVWriter(form: .float, channels: 2).bytes([1, 0, 0.5, -0.5, 0.25, 0.75]), name: "a.wav")
    #expect(found.samples == [0.5, 0, 0.5])
  }

  static let tones = WAVWriter.tones(0.01, rate: 16_000)
  @Test(
    arguments: [
      ([], ["a.wav: empty", "expected a WAV recording"]),
      ([UInt8]("RIFF".utf8), ["not a WAV file"]),
      ([UInt8]("not a recording, a text".utf8), ["not a WAV file", "convert it"]),
      (FileKind.png + [0, 0, 0, 13], ["expected a WAV recording"]),
      (WAVWriter().bytes([]), ["without samples"]),
      (WAVWriter().bytes(tones).dropLast(100), ["cut: 220 of 320 bytes"]),
      (Array(WAVWriter().bytes(tones).prefix(30)), ["cut before its sound"]),
      (
        WAVWriter(channels: 8).bytes([Float](repeating: 0.1, count: 80)), ["8 channels", "expected 1 or 2", "mix them"]
      ),
      (WAVWriter(rate: 3).bytes(tones), ["3 samples per second", "expected 4000 to 192000"]),
      (
        WAVWriter(form: .bits8, rate: 4000).bytes([Float](repeating: 0.1, count: 4000 * 3600)),
        ["3600 seconds", "at most 300"]
      ),
      (WAVWriter().bytes([Float](repeating: 0, count: 100)), ["silent"]),
      (WAVWriter(form: .float).bytes([0.1, .nan]), ["sample 1 is nan", "about −1 to 1"]),
      (WAVWriter(form: .float).bytes([-.infinity]), ["sample 0 is -inf"]),
      (WAVWriter(form: .float).bytes([30_000]), ["sample 0 is 30000.0", "--norm"]),
      (Array(WAVWriter().bytes(tones)[..<20]) + [9, 9] + Array(WAVWriter().bytes(tones)[22...]), ["damaged"]),
    ] as [([UInt8], [String])])
  func badFiles(bytes: [UInt8], words: [String]) throws {
    let found = try #require(message { _ = try Recording(decoding: bytes, name: "a.wav") })
    for word in words { #expect(found.contains(word), "\(found)") }
    #expect(found.hasPrefix("a.wav: ") && !found.contains("\n"))
  }

  /// A tone stays that tone at any rate, and what the new rate cannot hold is gone.
  @Test(arguments: [8000, 11_025, 22_050, 44_100, 48_000])
  func convertsRates(from rate: Int) {
    func tone(_ pitch: Double, _ rate: Int) -> [Float] {
      (0..<rate / 4).map { Float(sin(2 * .pi * pitch * Double($0) / Double(rate))) }
    }
    let found = Recording(rate: rate, samples: tone(1000, rate)).converted(to: 16_000)
    #expect(found.rate == 16_000 && abs(found.samples.count - 4000) <= 1)
    let wanted = tone(1000, 16_000)
    #expect((200..<3700).allSatisfy { abs(found.samples[$0] - wanted[$0]) < 2e-3 })
    guard rate > 20_000 else { return }
    let high = Recording(rate: rate, samples: tone(9500, rate)).converted(to: 16_000).samples
    #expect((200..<3700).allSatisfy { abs(high[$0]) < 1e-3 })
  }

  static let python = "/usr/bin/python3"
  static let hasNumpy =
    FileManager.default.isExecutableFile(atPath: python)
    && (try? run(["-c", "import numpy"], input: Data())) != nil

  /// Runs Python; throws when it fails.
  static func run(_ arguments: [String], input: Data) throws -> Data {
    let folder = try TemporaryFolder()
    let file = try folder.write("input", [UInt8](input))
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: python)
    process.arguments = arguments
    process.standardInput = FileHandle(forReadingAtPath: file)
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let found = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    struct Failed: Error {}
    guard process.terminationStatus == 0 else { throw Failed() }
    return found
  }

  private struct Case: Encodable {
    let rate: Int
    let to: Int
    let bands: Int
    let samples: [Float]
  }
  private struct Answer: Decodable {
    let converted: [Double]
    let mel: [[Double]]
  }

  /// The definitions, computed by numpy in float64 without any of this code.
  @Test(
    .enabled(if: hasNumpy, "needs /usr/bin/python3 with numpy; scripts/test installs them"),
    arguments: [(22_050, 40, 0.21), (8000, 24, 0.1), (16_000, 64, 0.05), (44_100, 90, 0.02)] as [(Int, Int, Double)])
  func agreesWithTheReference(rate: Int, bands: Int, seconds: Double) throws {
    let recording = Recording(rate: rate, samples: WAVWriter.tones(seconds, rate: rate))
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent(
      "../Reference/audio.py")
    let question = try JSONEncoder().encode(Case(rate: rate, to: 11_025, bands: bands, samples: recording.samples))
    let answer = try JSONDecoder().decode(Answer.self, from: AudioTests.run([script.path], input: question))
    let converted = recording.converted(to: 11_025).samples
    #expect(converted.count == answer.converted.count)
    #expect(zip(converted, answer.converted).allSatisfy { abs(Double($0) - $1) < 1e-6 })
    let mel = LogMel(recording, bands: bands)
    #expect(mel.bands == answer.mel.count && mel.frames == answer.mel[0].count)
    let wanted = answer.mel.flatMap { $0 }
    // Samples are rounded to float32 between the two steps: 60 dB down that is the fourth digit.
    #expect(zip(mel.values, wanted).allSatisfy { abs(Double($0) - $1) < 1e-4 })
    #expect(mel.values.max() == 1 && mel.values.min()! >= LogMel.silence)
  }

  @Test func loudnessDoesNotMatter() {
    let samples = WAVWriter.tones(0.1, rate: 16_000)
    let (loud, soft) = (
      LogMel(Recording(rate: 16_000, samples: samples), bands: 20),
      LogMel(Recording(rate: 16_000, samples: samples.map { $0 / 64 }), bands: 20)
    )
    #expect(loud == soft)
    #expect(LogMel(Recording(rate: 16_000, samples: [0.5]), bands: 200).frames == 1)
  }

  /// Evaluation shows a recording as it is, behind 8 frames of silence; training varies it by the random numbers alone.
  @Test func writesSamples() throws {
    let mel = LogMel(Recording(rate: 16_000, samples: WAVWriter.tones(0.2, rate: 16_000)), bands: 20)
    func sample(varies: Bool, _ epoch: UInt64 = 0, frames: Int = 40) -> [Float] {
      let write = SampleFormat.audio.writer(
        [1, 20, frames], SampleSettings(augmentation: .none, normalization: .unit, varies: varies))
      let tensor = Tensor(uninitialized: [20, frames])
      for i in 0..<20 * frames { tensor.pointer[i] = .nan }
      write(mel, CounterRandom(seed: 1, purpose: .augmentation, a: epoch), tensor.pointer)
      return tensor.values
    }
    for frames in [40, 12] {
      let plain = sample(varies: false, frames: frames)
      for band in 0..<20 {
        for frame in 0..<frames {
          let own = frame - 8
          let wanted = mel.frames > own && own >= 0 ? mel.values[band * mel.frames + own] : LogMel.silence
          #expect(plain[band * frames + frame] == wanted)
        }
      }
    }
    #expect(sample(varies: false, 1) == sample(varies: false, 2))
    #expect(sample(varies: true, 1) == sample(varies: true, 1) && sample(varies: true, 1) != sample(varies: true, 2))
    #expect(sample(varies: true).allSatisfy { (-1...1).contains($0) })
  }
}
