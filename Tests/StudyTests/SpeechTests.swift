import Foundation
import MMoEData
import MMoETensor
import TestSupport
import Testing

@testable import MMoEConfig
@testable import MMoEReport
@testable import MMoERuns
@testable import MMoETrain

/// Recordings beside pictures and texts: trained, evaluated where pictures are missing, and retrieved.
@Suite struct SpeechTests {
  /// A WAV file of 16 bits, 8,000 samples per second.
  private static func tone(_ pitches: [Double], seconds: Double = 0.1) -> Data {
    let samples = (0..<Int(8000 * seconds)).map { n in
      Int16(6000 * pitches.reduce(0) { $0 + sin(2 * .pi * $1 * Double(n) / 8000) })
    }
    func little<Value: FixedWidthInteger>(_ value: Value) -> Data {
      withUnsafeBytes(of: value.littleEndian) { Data($0) }
    }
    var data = Data("RIFF".utf8) + little(UInt32(36 + 2 * samples.count)) + Data("WAVEfmt ".utf8) + little(UInt32(16))
    data += little(UInt16(1)) + little(UInt16(1)) + little(UInt32(8000)) + little(UInt32(16_000))
    data += little(UInt16(2)) + little(UInt16(16)) + Data("data".utf8) + little(UInt32(2 * samples.count))
    return samples.reduce(into: data) { $0 += little($1) }
  }

  /// 12 items of two colors and two pitches; the last 4 are held out, and have two recordings each.
  static let data: ScratchFolder = {
    let folder = ScratchFolder()
    let words = ["red", "green", "blue"]
    var lines: [String] = []
    for index in 0..<12 {
      let (left, right) = (index % 3, index / 3 % 3)
      let pixels = (0..<16 * 16).flatMap { place in
        [UInt8](repeating: UInt8(80 * (place % 16 < 8 ? left : right)), count: 2) + [UInt8(index)]
      }
      try! Data(RGBImage(width: 16, height: 16, pixels: pixels).png()).write(
        to: URL(fileURLWithPath: folder("\(index).png")))
      let names = index < 8 ? ["\(index).wav"] : ["\(index).wav", "\(index)b.wav"]
      for (turn, name) in names.enumerated() {
        try! tone([Double(300 + 300 * left + index), Double(1500 + 400 * right + 10 * turn)]).write(
          to: URL(fileURLWithPath: folder(name)))
      }
      lines.append(
        "{\"image\": \"\(index).png\", \"audio\": [\(names.map { "\"\($0)\"" }.joined(separator: ", "))], \"caption\": \"\(words[left]) \(words[right])\", \"split\": \"\(index < 8 ? "train" : "val")\"}"
      )
    }
    try! lines.joined(separator: "\n").write(toFile: folder("captions.jsonl"), atomically: true, encoding: .utf8)
    return folder
  }()

  /// A model that hears.
  static let settings = [
    "fusion.modalities=vision,language,audio", "moe.experts=6", "moe.groups=vision:2,language:2,audio:2",
    "model.audio_mels=16", "model.audio_frames=24", "model.audio_patch_mels=16", "model.audio_patch_frames=8",
  ]

  private static func config() throws -> RunConfig {
    try PairLearningTests.config(settings + ["data.batch=4", "train.steps=2", "train.eval_every=2"])
  }

  private func job(_ path: String, training: Bool) throws -> (job: any TrainingTask, config: RunConfig) {
    var config = try SpeechTests.config()
    let data = try PairData(path, config, attachments: nil, cache: PairLearningTests.cache, TextBuffer())
    data.adapt(&config, TextBuffer())
    let engine = try Engine(threads: 2)
    return (try data.makeJob(config, training: training, loadsWeights: false, engine: engine, team: nil), config)
  }

  @Test func trainsAndRetrieves() throws {
    let scratch = ScratchFolder()
    let (task, config) = try job(SpeechTests.data.path, training: true)
    let outcome = try Trainer(
      task, preset: "pairs-emoji-speech", config: config, engine: Engine(threads: 2),
      folder: RunFolder(creating: scratch("run")), resuming: nil, sink: TextBuffer()
    ).run()
    let evaluation = try #require(outcome.evaluation)
    #expect(evaluation["gallery_recordings"] == 8 && evaluation["image_to_audio_recall_at_10"] == 1)
    let file = SpeechTests.data("9.wav")
    func found(_ change: (inout RetrieveSession.Options) -> Void) throws -> [String: Any] {
      var options = RetrieveSession.Options()
      (options.checkpoint, options.data, options.count) = (scratch("run"), SpeechTests.data.path, 3)
      (options.sheet, options.printsJSON) = (scratch("sheet.png"), true)
      change(&options)
      let output = TextBuffer()
      try RetrieveSession(options, CommandSinks(output: output, errors: TextBuffer())).run()
      return try #require(JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [String: Any])
    }
    func count(_ found: [String: Any], _ key: String) -> Int? { (found[key] as? [Any])?.count }
    let heard = try found { $0.query = .file(field: "audio", path: file) }
    #expect(count(heard, "images") == 3 && count(heard, "texts") == 3 && heard["recordings"] == nil)
    #expect(heard["query"] as? String == file && heard["gallery"] as? Int == 8)
    #expect(FileManager.default.fileExists(atPath: scratch("sheet.png")))
    let seen = try found { $0.query = .file(field: "image", path: SpeechTests.data("9.png")) }
    #expect(
      count(seen, "recordings") == 3 && count(seen, "texts") == 3 && seen["images"] == nil && seen["sheet"] == nil)
    let read = try found { $0.query = .text("red blue") }
    #expect(count(read, "images") == 3 && count(read, "recordings") == 3 && read["texts"] == nil)
    let pictures = try found { ($0.query, $0.images) = (.file(field: "audio", path: file), SpeechTests.data.path) }
    #expect(count(pictures, "images") == 3 && pictures["texts"] == nil && pictures["gallery"] as? Int == 12)
    // What is wrong is named in one line.
    func wrong(_ change: (inout RetrieveSession.Options) -> Void) -> String {
      do { return "\(try found(change))" } catch { return "\(error)" }
    }
    try Data([1, 2, 3]).write(to: URL(fileURLWithPath: scratch("no.wav")))
    #expect(wrong { $0.query = .file(field: "audio", path: scratch("no.wav")) }.contains("no.wav: not a WAV file"))
    #expect(wrong { $0.query = .file(field: "video", path: file) }.contains("expected one that reads video"))
  }

  /// Directions with a modality that the data lacks are left out: 0 % would be a figure of nothing.
  @Test func dataWithoutPictures() throws {
    let folder = ScratchFolder()
    for index in 0..<4 {
      try SpeechTests.tone([Double(300 + 200 * index)]).write(to: URL(fileURLWithPath: folder("\(index).wav")))
    }
    let lines = (0..<4).map {
      "{\"audio\": \"\($0).wav\", \"caption\": \"tone \($0)\", \"split\": \"\($0 < 1 ? "train" : "val")\"}"
    }
    try lines.joined(separator: "\n").write(toFile: folder("captions.jsonl"), atomically: true, encoding: .utf8)
    let evaluation = try job(folder.path, training: false).job.evaluate(progress: nil)
    #expect(evaluation["audio_to_text_recall_at_10"] == 1 && evaluation["text_to_audio_recall_at_10"] == 1)
    #expect(evaluation["recall_at_10"] == 1 && evaluation["audio_caption_f1"] != nil)
    for name in [
      "image_to_text_recall_at_10", "image_to_audio_recall_at_1", "audio_to_image_recall_at_5", "caption_f1",
    ] {
      #expect(evaluation[name] == nil, "\(name)")
    }
  }
}
