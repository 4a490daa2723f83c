import Foundation
import MMoEFiles
import Testing

@testable import MMoEData

/// Spoken names: who speaks what, and that no voice stands on both sides.
@Suite struct EmojiSpeechTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private static let list = """
    # group: Objects
    # subgroup: lock
    1F511                ; fully-qualified     # x E0.6 key
    1F5DD FE0F           ; fully-qualified     # x E0.7 old key
    1F512                ; fully-qualified     # x E0.6 locked
    # group: People & Body
    # subgroup: hand-fingers-open
    1F44B                ; fully-qualified     # x E0.6 waving hand
    1F44B 1F3FB          ; fully-qualified     # x E1.0 waving hand: light skin tone
    # group: Flags
    # subgroup: flag
    1F3C1                ; fully-qualified     # x E0.6 chequered flag
    1F6A9                ; fully-qualified     # x E0.6 triangular flag
    """

  /// A program that takes the arguments of the real one, writes a recording and keeps what it was asked.
  private func standIn(_ ending: String = "") throws -> String {
    try folder.write("sound.wav", WAVWriter().bytes([0.5, -0.5]))
    let script =
      "#!/bin/sh\ncp '\(folder.path)/sound.wav' \"$4\"\necho \"$2 $6\" >> '\(folder.path)/calls'\n\(ending)\n"
    let path = try folder.write("speaker", [UInt8](script.utf8))
    chmod(path, 0o755)
    return path
  }

  @Test func voicesAreOnOneSide() throws {
    let entries = try EmojiList(folder.write("list", [UInt8](EmojiSpeechTests.list.utf8))).entries
    var speech = EmojiSpeech()
    speech.program = try standIn()
    let sides: [DatasetSplit?] = [.train, .val, nil, .train, .train, .train, .val]
    let files = try speech.write(entries, sides, seed: 0, to: folder.path + "/out")
    #expect(files.map(\.count) == [3, 2, 0, 3, 1, 3, 2])
    #expect(files[1] == speech.heldOutVoices.map { "audio/1f5dd-fe0f.\($0).wav" })
    let calls = String(decoding: try readFile(folder.path + "/calls", limit: 1 << 20), as: UTF8.self)
      .split(separator: "\n").map(String.init)
    let heldOut = calls.filter { call in speech.heldOutVoices.contains { call.hasPrefix($0 + " ") } }
    #expect(Set(heldOut.map { $0.split(separator: " ", maxSplits: 1)[1] }) == ["old key", "triangular flag"])
    #expect(calls.count == files.joined().count && Set(calls).count == calls.count)
    #expect(files.joined().allSatisfy { FileManager.default.fileExists(atPath: folder.path + "/out/" + $0) })
    #expect(Set(speech.voices).isDisjoint(with: speech.heldOutVoices))
    // Others with another seed, the same with the same.
    #expect(speech.voices(of: entries[0], .train, seed: 0) == speech.voices(of: entries[0], .train, seed: 0))
    #expect(
      (1...9).contains {
        speech.voices(of: entries[0], .train, seed: $0) != speech.voices(of: entries[0], .train, seed: 0)
      })
  }

  @Test func whatIsMissingIsNamed() throws {
    let entries = try EmojiList(folder.write("list", [UInt8](EmojiSpeechTests.list.utf8))).entries
    func found(_ change: (inout EmojiSpeech) throws -> Void) throws -> String {
      var speech = EmojiSpeech()
      try change(&speech)
      return message {
        try speech.validate()
        _ = try speech.write(entries, entries.map { _ in .train }, seed: 0, to: folder.path + "/out")
      } ?? "nothing"
    }
    #expect(
      try found { $0.program = "no-such-program" }.contains("apt-get install -y --no-install-recommends espeak-ng"))
    #expect(try found { $0.program = try standIn("echo no such voice >&2; exit 3") }.contains("status 3 for the voice"))
    #expect(try found { $0.program = try standIn("echo no such voice >&2; exit 3") }.contains("(no such voice)"))
    #expect(try found { $0.program = try standIn("printf '' > \"$4\"") }.contains(".wav: empty"))
    #expect(try found { $0.heldOutVoices.append("en-us") }.contains("voice en-us is in training and held out"))
    #expect(try found { $0.voices = [] }.contains("0 for training"))
  }

  static let hasPrograms = EmojiTests.hasPackages && SearchPath.find("espeak-ng") != nil

  /// The real program, font and list: a folder of pairs with recordings, the same lines twice.
  @Test(.enabled(if: hasPrograms, "espeak-ng, fonts-noto-color-emoji and unicode-data are not installed"))
  func writesPairs() throws {
    var options = EmojiImport.Options()
    options.list = try folder.write("list", [UInt8](EmojiSpeechTests.list.utf8))
    (options.heldOut, options.heldOutFlags, options.speech) = (1, 1, EmojiSpeech())
    let summary = try EmojiImport(options).write(to: folder.path + "/one")
    #expect(summary.recordings >= 4 + 3 * 3)
    _ = try EmojiImport(options).write(to: folder.path + "/two")
    let pairs = ["one", "two"].map { folder.path + "/" + $0 }
    // Who speaks what is drawn; that a synthesizer gives the same samples on every machine is not ours to promise.
    let lines = try pairs.map { try String(contentsOfFile: $0 + "/captions.jsonl", encoding: .utf8) }
    #expect(lines[0] == lines[1])
    let val = try PairFolder(path: pairs[0])[.val]
    #expect(val.items.map { $0["audio"].count } == [2, 2] && Set(val.items.map(\.gallery)) == ["emoji", "flags"])
    let heard = try Recording(contentsOf: val.items[0]["audio"][0])
    #expect(heard.rate > 8000 && heard.seconds > 0.2)
  }
}
