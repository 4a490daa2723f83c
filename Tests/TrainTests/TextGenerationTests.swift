import Foundation
import MMoEData
import MMoEModels
import MMoETensor
import Testing

@testable import MMoETrain

/// Choosing tokens, and showing them as text.
@Suite struct TextGenerationTests {
  private func draws(_ logits: [Float], _ options: SamplingOptions, count: Int = 4000) -> [Double] {
    let sampler = TokenSampler(options)
    var found = [Int](repeating: 0, count: logits.count)
    for position in 0..<count {
      let id = try! sampler.next(Tensor(logits, shape: [1, logits.count]), history: [], position: position)
      found[Int(id)] += 1
    }
    return found.map { Double($0) / Double(count) }
  }

  @Test func drawsFollowTheProbabilities() {
    let probabilities = [0.5, 0.3, 0.15, 0.05]
    let logits = probabilities.map { Float(log($0)) + 3 }
    for (found, expected) in zip(draws(logits, SamplingOptions(seed: 1)), probabilities) {
      #expect(abs(found - expected) < 0.03)
    }
    // Half the temperature squares the probabilities.
    let squares = probabilities.map { $0 * $0 }
    let total = squares.reduce(0, +)
    for (found, expected) in zip(draws(logits, SamplingOptions(temperature: 0.5, seed: 1)), squares) {
      #expect(abs(found - expected / total) < 0.03)
    }
  }

  @Test func topKAndTopPLeaveTheMostProbable() {
    let logits = [0.15, 0.5, 0.05, 0.3].map { Float(log($0)) }
    #expect(draws(logits, SamplingOptions(topK: 2)).map { $0 > 0 } == [false, true, false, true])
    #expect(draws(logits, SamplingOptions(topP: 0.81)).map { $0 > 0 } == [true, true, false, true])
    #expect(draws(logits, SamplingOptions(topP: 0.79)).map { $0 > 0 } == [false, true, false, true])
    #expect(draws(logits, SamplingOptions(topP: 0.01)) == [0, 1, 0, 0])
    #expect(draws(logits, SamplingOptions(temperature: 0)) == [0, 1, 0, 0])
    #expect(draws(logits, SamplingOptions(topK: 3, topP: 0.6)).map { $0 > 0 } == [false, true, false, true])
  }

  @Test func repetitionPenaltyMakesSeenTokensRarer() {
    let sampler = TokenSampler(SamplingOptions(temperature: 0, repetitionPenalty: 2))
    func next(_ logits: [Float], _ history: [Int32]) -> Int32 {
      try! sampler.next(Tensor(logits, shape: [1, logits.count]), history: history, position: 0)
    }
    #expect(next([3, 2, -1], []) == 0)
    #expect(next([3, 2, -1], [0]) == 1)
    #expect(next([-1, -1.5, -3], [0]) == 1)
  }

  /// Every way of cutting a text into pieces gives the same text, and no piece holds a broken character.
  @Test func streamHoldsIncompleteCharactersBack() {
    let text = "aé€😀 ß"
    let bytes = [UInt8](text.utf8)
    for size in 1...bytes.count {
      var stream = UTF8Stream()
      var parts: [String] = []
      for start in stride(from: 0, to: bytes.count, by: size) {
        parts.append(stream.add(Array(bytes[start..<min(start + size, bytes.count)])))
      }
      parts.append(stream.finish())
      #expect(parts.joined() == text)
      #expect(!parts.contains { $0.unicodeScalars.contains("\u{FFFD}") })
    }
    var stream = UTF8Stream()
    #expect(stream.add([0x61, 0xFF, 0x62]) == "a\u{FFFD}b")
    #expect(stream.add([0xE2, 0x82]) == "")
    #expect(stream.finish() == "\u{FFFD}")
    // Stray continuation bytes are never waited for.
    #expect(stream.add([0x80, 0x80, 0x80, 0x80]).unicodeScalars.count == 4)
  }

  @Test func stopStringsEndTheTextBeforeThem() {
    var stops = StopStrings(["END", "\n\n"])
    #expect(stops.add("one E") == ("one ", false))
    #expect(stops.add("N") == ("", false))
    #expect(stops.add("X\n") == ("ENX", false))
    #expect(stops.add("two") == ("\ntwo", false))
    #expect(stops.add("EN") == ("", false))
    #expect(stops.add("D more") == ("", true))
    var none = StopStrings(["END"])
    _ = none.add("xE")
    #expect(none.finish() == "E")
  }

  /// Generation goes on past the context, with the same tokens for the same seed, and other ones for another sequence.
  @Test func goesOnPastTheContext() throws {
    var config = ModelConfig()
    config.kind = .gpt
    (config.layers, config.width, config.heads, config.initStd) = (2, 16, 2, 0.3)
    (config.text.vocabulary, config.text.context, config.moe.experts) = (256, 12, 4)
    let engine = try Engine(threads: 2)
    let model = try GPT(config, seed: 1, engine: engine)
    func run(_ seed: UInt64) throws -> ([Int32], [Int32], String) {
      var generator = TextGenerator(model, ByteTokenizer(), engine: engine, sampling: SamplingOptions(seed: seed))
      var text = ""
      let first = try generator.run([72, 105], tokens: 40) { text += $0 }
      #expect(first.reason == .tokens && first.ids.count == 40)
      return (first.ids, try generator.run([72, 105], tokens: 40) { _ in }.ids, text)
    }
    let found = try run(5)
    #expect(try run(5) == found)
    #expect(found.0 != found.1)
    #expect(try run(6).0 != found.0)
    #expect(found.2 == String(decoding: try ByteTokenizer().decode(found.0), as: UTF8.self))
    var generator = TextGenerator(model, ByteTokenizer(), engine: engine)
    #expect { try generator.run(Array(repeating: 1, count: 13), tokens: 1) { _ in } } throws: {
      "\($0)".contains("13 tokens, expected 1 to 12")
    }
  }
}
