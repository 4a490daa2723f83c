import MMoEFiles
import MMoETensor
import Synchronization

/// The names of emoji, spoken by `espeak-ng`.
///
/// Emoji to learn from are spoken by the voices for training, those that are held out by the voices that are held out: what is
/// measured on them is speech of voices that training never heard. Accents and variants of the two lists differ, too.
package struct EmojiSpeech: Sendable {
  /// Voices for training, of which every emoji is given some.
  package var voices = [
    "en-us", "en-us+f2", "en-gb", "en-gb+f3", "en-gb-x-rp+m3", "en-gb-scotland+f1", "en-029+m1", "en-us+m4",
  ]
  /// Voices of the emoji that are held out; each of these is spoken by all of them.
  package var heldOutVoices = ["en-us-nyc+f5", "en-gb-x-gbcwmd+m7"]
  /// Voices that speak an emoji to learn from; a variant of another skin tone is spoken by one.
  package var voicesPerEmoji = 3
  /// The program, by its name on the `PATH` or its path.
  package var program = "espeak-ng"

  package init() {}

  /// - Throws: `DataError` for voices that are on both sides, or none.
  func validate() throws {
    if let both = voices.first(where: heldOutVoices.contains) {
      throw DataError(
        field: "the voice \(both)", found: "in training and held out", expected: "one of them",
        remedy: "choose another one")
    }
    guard !voices.isEmpty, !heldOutVoices.isEmpty, (1...voices.count).contains(voicesPerEmoji) else {
      throw DataError(
        field: "voices", found: "\(voices.count) for training and \(heldOutVoices.count) held out",
        expected: "at least \(max(1, voicesPerEmoji)) and 1")
    }
  }

  /// The voices of an emoji; none where it is on neither side.
  func voices(of entry: EmojiList.Entry, _ side: DatasetSplit?, seed: UInt64) -> [String] {
    switch side {
    case nil: return []
    case .val: return heldOutVoices
    case .train:
      let random = CounterRandom(seed: seed, purpose: .recording, a: CounterRandom.hash(entry.fileName))
      let order = random.permutation(voices.count)
      return order.prefix(entry.hasSkinTone ? 1 : voicesPerEmoji).sorted().map { voices[$0] }
    }
  }

  /// Speaks emoji into files of a folder.
  ///
  /// - Parameters:
  ///   - sides: of every entry.
  ///   - progress: called with the number of recordings written and their total, from any thread.
  /// - Returns: the names of each entry's files below the folder.
  /// - Throws: `DataError` for a program that is missing or fails.
  func write(
    _ entries: [EmojiList.Entry], _ sides: [DatasetSplit?], seed: UInt64, to folder: String,
    progress: @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws -> [[String]] {
    let program = try SpeechProgram(program)
    try TokenizerFiles.makeFolder(folder + "/audio")
    let work = zip(entries, sides).flatMap { entry, side in
      voices(of: entry, side, seed: seed).map {
        (text: entry.name, voice: $0, file: "audio/\(entry.fileName).\($0).wav")
      }
    }
    let spoken = Atomic(0)
    try parallelFor(work.count, grain: 8) { index in
      try program.speak(work[index].text, voice: work[index].voice, to: folder + "/" + work[index].file)
      progress(spoken.add(1, ordering: .relaxed).newValue, work.count)
    }
    var next = 0
    return zip(entries, sides).map { entry, side in
      let count = voices(of: entry, side, seed: seed).count
      defer { next += count }
      return work[next..<next + count].map(\.file)
    }
  }
}
