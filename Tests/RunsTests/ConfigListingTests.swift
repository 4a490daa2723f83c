import Foundation
import MMoEConfig
import MMoEReport
import TestSupport
import Testing

@testable import MMoERuns

/// `mmoe config`: every key once, with its values and its users.
@Suite struct ConfigListingTests {
  private func text(_ pattern: String? = nil, task: String? = nil, preset: String? = nil) throws -> String {
    var options = ConfigListing.Options()
    (options.pattern, options.task, options.preset) = (pattern, task, preset)
    return try ConfigListing(options).text(for: TextBuffer())
  }

  private func rows(_ text: String) -> [[String]] {
    text.split(separator: "\n").dropFirst(2).map { line in
      String(line).components(separatedBy: "  ").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }
  }

  @Test func listsEveryKey() throws {
    let all = rows(try text())
    #expect(all.map(\.[0]) == RunConfig.table.entries.map(\.key))
    #expect(
      all.first { $0[0] == "optimizer.lr" }?[1...] == [
        "0.001", "all", "a number from 0.0 to 1000.0", "peak learning rate",
      ])
    #expect(all.first { $0[0] == "data.flip" }?[2] == "imagenet-subset, multimodal")
    #expect(rows(try text("optimizer.b*")).map(\.[0]) == ["optimizer.beta1", "optimizer.beta2"])
  }

  /// Beside the defaults the values of a preset, of the keys that its task uses.
  @Test func showsAPresetsValues() throws {
    let preset = try text("model.", preset: "gpt-toy")
    #expect(preset.hasPrefix("key") && preset.split(separator: "\n")[0].contains("gpt-toy"))
    let width = try #require(rows(preset).first { $0[0] == "model.width" })
    #expect(width[1] == "\(RunConfig().model.width)" && width[2] != width[1], "\(width)")
    #expect(!preset.contains("model.patch") && preset.contains("model.context"))
    #expect(try text("patch", task: "imagenet-subset").contains("model.patch"))
    let task = try text(task: "lm")
    #expect(task.split(separator: "\n")[0].contains("gpt-wordnet") && !task.contains("model.patch"))
  }

  @Test func saysWhatThereIsNot() {
    func error(_ pattern: String? = nil, task: String? = nil, preset: String? = nil) -> String {
      do { return try text(pattern, task: task, preset: preset) } catch { return "\(error)" }
    }
    #expect(error("optimiser.lr") == "mmoe config: no key has optimiser.lr in its name; the nearest is optimizer.lr")
    #expect(error("n_layers.*").contains("no key has"))
    #expect(error("model.patch", task: "lm").contains("model.patch is of no use to model.kind gpt"))
    #expect(error(task: "lm", preset: "vit-tiny").contains("expected gpt for --task lm"))
    #expect(error(task: "images").contains("no such task") && error(preset: "vit").contains("no preset"))
  }
}
