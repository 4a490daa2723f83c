import Foundation
import MMoEData
import MMoEModels
import MMoETensor
import TestSupport
import Testing
import TinyRuns

@testable import MMoEReport
@testable import MMoERuns
@testable import MMoEStudy
@testable import MMoETrain

/// `mmoe analyze`: figures against direct computation in double precision, and the command's files and errors.
@Suite struct AnalysisTests {
  let engine = try! Engine(threads: 2)
  let scratch = ScratchFolder()

  /// Sees states and calls, and keeps copies of their numbers.
  final class Recording: PassObserver {
    var states: [StreamState: [Double]] = [:]
    var inputs: [String: [Double]] = [:]

    func reached(_ state: StreamState, _ value: Tensor, _ tape: Tape) -> Tensor {
      states[state, default: []] += value.values.map(Double.init)
      return value
    }

    func routed(_ call: ObservedCall) {
      inputs["\(call.block) \(call.route)", default: []] += call.normed.values.map(Double.init)
    }
  }

  /// A task of four blocks with random weights, and what its model does with 20 validation samples.
  private func task(_ settings: [String]) throws -> (task: any ProbedTask, config: ModelConfig, seen: Recording) {
    let run = try TinyRun(["model.layers=4", "model.init_std=0.3", "data.batch=8"] + settings)
    let task = try ImageClassification(
      run.config, ImageFolder(path: TinyRun.data.path), training: false, engine: engine)
    let seen = Recording()
    var batches = 0
    try task.probe(.val, samples: 20) {
      ForwardPass(Tape(engine, recording: false), training: false, observer: seen)
    } _: { batch in
      batches += 1
      #expect(batch.labels.map(\.name) == ["class", "patch"] && batch.labels[0].values.count == 16 * batch.counted)
    }
    #expect(batches == 3)
    return (task, run.config.model, seen)
  }

  private func rows(_ values: [Double], _ width: Int) -> [[Double]] {
    stride(from: 0, to: values.count, by: width).map { Array(values[$0..<$0 + width]) }
  }

  @Test func similarityAgainstDirectComputation() throws {
    let (task, config, seen) = try task(["moe.variant=scmoe"])
    let found = try SimilarityAnalysis.measure(task, config, Probe(samples: 20, engine: engine))
    let states = StreamState.all(layers: 4).map { rows(seen.states[$0]!, 32) }
    func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
    func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
    #expect(found.states.count == 9 && states[0].count == 320)
    for i in 0..<9 {
      for j in 0..<9 {
        let expected = mean(
          zip(states[i], states[j]).map { dot($0, $1) / (dot($0, $0) * dot($1, $1)).squareRoot() })
        #expect(abs(found.cosine[i][j] - expected) < 1e-5, "\(i) \(j)")
      }
      #expect(abs(found.lengths[i] - mean(states[i].map { dot($0, $0).squareRoot() })) < 1e-5 * found.lengths[i])
    }
    for i in 0..<8 {
      let expected = mean(
        zip(states[i], states[i + 1]).map { a, b in
          zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
        })
      #expect(abs(found.changes[i] - expected) < 1e-5 * expected)
    }
    let (attention, body) = (found.changes[0] + found.changes[2], found.changes[1] + found.changes[3])
    #expect(abs(found.shareOfMLP(0..<2) - body / (attention + body)) < 1e-12)
    #expect(found.summary[0].value == found.cosine[0][2])
  }

  @Test(arguments: [true, false]) func routingAgainstDirectComputation(constrained: Bool) throws {
    let (task, config, seen) = try task(["moe.variant=dgmoe", "moe.constrained=\(constrained)"])
    let found = try RoutingAnalysis.measure(task, config, Probe(samples: 20, engine: engine))
    #expect(found.calls.map(\.name) == ["1A→2M", "2A→2M", "3A→4M", "4A→4M"] && found.blocks == [1, 3])
    for block in found.blocks {
      let calls = found.calls(of: block)
      let chosen = ["gate", "gate2"].enumerated().map { route, name -> [(best: Int, second: Int, p: [Double])] in
        let weight = task.model.parameters.first { $0.path == "blocks.\(block).moe.\(name).weight" }!.value.values
        return rows(seen.inputs["\(block) \(route)"]!, 32).map { x in
          let z = (0..<4).map { e in (0..<32).reduce(0.0) { $0 + Double(weight[e * 32 + $1]) * x[$1] } }
          let total = z.reduce(0) { $0 + exp($1) }
          let order = (0..<4).sorted { z[$0] > z[$1] }
          return (order[0], order[1], z.map { exp($0) / total })
        }
      }
      let same = zip(chosen[0], chosen[1]).count { $0.best == $1.best }
      #expect(abs(found.sameExpertShare(block)! - Double(same) / 320) < 0.005 && same > 10)
      let first = chosen[0].reduce(0) { $0 + $1.p[$1.best] } / 320
      var second = 0.0
      for (one, other) in zip(chosen[0], chosen[1]) {
        let clash = constrained && one.best == other.best
        second += other.p[clash ? other.second : other.best] / 320
      }
      #expect(abs(calls[0].meanProbabilities[0] - first) < 1e-3 && abs(calls[1].meanProbabilities[0] - second) < 2e-3)
      let entropy = chosen[0].reduce(0) { $0 - $1.p.reduce(0) { $0 + $1 * log($1) } } / 320
      #expect(abs(calls[0].gateEntropy - entropy) < 1e-4)
      for e in 0..<4 {
        #expect(abs(calls[0].load[e] - Double(chosen[0].count { $0.best == e }) / 320) < 0.005)
      }
      let classes = calls[0].counts(found.labels[0])
      #expect(classes.map { $0.reduce(0, +) }.reduce(0, +) == 320 && classes[0].count == 4)

      let (a, b) = (seen.states[.afterAttention(block - 1)]!, seen.states[.afterAttention(block)]!)
      let apart = zip(rows(a, 32), rows(b, 32)).map { x, y in
        zip(x, y).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
      }
      #expect(abs(found.distance(block)!.meanDistance - apart.reduce(0, +) / 320) < 1e-4)
    }
    // Pictures of the first samples, and the experts of their patches, in the order of the rows.
    #expect(found.pictures.map(\.row) == (0..<8).map { 16 * $0 } && found.pictures[7].side == 4)
    let (picture, call) = (found.pictures[3], found.calls[1])
    let tinted = ExpertPictures.tinted(picture, by: call)
    let patch = picture.image.width / 4
    for place in 0..<16 {
      let at = 3 * ((place / 4 * patch) * picture.image.width + place % 4 * patch)
      let rgb = (0..<3).map { Float(picture.image.pixels[at + $0]) }
      let color = ExpertPictures.colors[Int(call.choices[48 + place])].rgb
      let light = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]
      for c in 0..<3 { #expect(abs(Float(tinted.pixels[at + c]) - (0.45 * light + 0.55 * color[c])) < 1.5) }
    }
    #expect(ExpertPictures.sheet(found)?.height == 8 + 8 * 136)
    var moved = found.calls[0]
    for t in 0..<80 { moved.choices[t] = (moved.choices[t] + 1) % 4 }
    #expect(moved.agreement(with: found.calls[0]) == 0.75)
  }

  @Test func overlapOfLabels() {
    // Shares of the first label ½ ½ 0, of the second 0 ¼ ¾, of the third all on the first expert, of the fourth none.
    let counts = [[2, 0, 5, 0], [2, 1, 0, 0], [0, 3, 0, 0]]
    #expect(abs(Association.overlap(counts) - (0.25 + 0.5 + 0) / 3) < 1e-12)
    #expect(Association.overlap([[3, 6], [1, 2]]) == 1 && Association.overlap([[3, 0]]).isNaN)
  }

  /// A bank under both layers with experts: its two askers, losses of both parts, and distances in blocks.
  @Test func sharingAgainstDirectComputation() throws {
    let run = try TinyRun([
      "model.layers=4", "model.init_std=0.3", "data.batch=8", "moe.variant=scmoe", "moe.bank_layers=2",
    ])
    var config = run.config.model
    SharingAnalysis.adapt(&config)
    let task = try ImageClassification(run.config, ImageFolder(path: TinyRun.data.path), training: true, engine: engine)
    let all = 10_000
    let found = try SharingAnalysis.measure(task, config, Probe(samples: all, engine: engine))
    #expect(abs(found.valLoss - (try task.evaluate(progress: nil)).loss) < 1e-5)
    #expect(found.trainLoss != found.valLoss && abs(found.gap - (found.valLoss - found.trainLoss)) < 1e-15)
    #expect(found.parameters == task.model.parameters.reduce(0) { $0 + $1.value.count })

    let cosine = found.similarity.cosine
    #expect(abs(found.cosine(blocksApart: 2) - (cosine[0][4] + cosine[2][6] + cosine[4][8]) / 3) < 1e-12)
    #expect(abs(found.cosine(blocksApart: 0) - 1) < 1e-6)
    let norms = found.gradients.states.map(\.norm)
    #expect(found.gradient(blocksBefore: 0) == 1 && found.gradient(blocksBefore: 3) == norms[2] / norms[8])

    let demands = found.demands(config)
    #expect(demands.count == 1 && demands[0].bank == 0)
    let (lower, higher) = (found.routing.calls(of: 1)[0], found.routing.calls(of: 3)[0])
    let same = zip(lower.choices, higher.choices).count { $0 == $1 }
    #expect(demands[0].sameToken == Double(same) / Double(lower.tokens))
    let loads = (0..<4).map { e in
      [lower, higher].map { call in Double(call.choices.count { $0 == e }) / Double(call.tokens) }
    }
    #expect(abs(demands[0].loadOverlap - loads.reduce(0) { $0 + min($1[0], $1[1]) }) < 1e-12)
    #expect(abs(demands[0].expected - loads.reduce(0) { $0 + $1[0] * $1[1] }) < 1e-12)

    config.moe.bankLayers = 1
    #expect(found.demands(config).isEmpty, "layers with banks of their own ask nobody else's")
  }

  /// Tables whose information is known.
  @Test func associations() {
    let equal = Association.mutualInformation([[50, 0], [0, 50]])
    #expect(abs(equal - (log(2) - 1 / 200)) < 1e-12)
    #expect(Association.mutualInformation([[25, 25], [25, 25]]) == 0)
    // p = (0.4, 0.1; 0.1, 0.4): 0.8 ln 1.6 + 0.2 ln 0.4.
    let some = Association.mutualInformation([[40, 10], [10, 40]])
    #expect(abs(some - (0.8 * log(1.6) + 0.2 * log(0.4) - 1 / 200)) < 1e-12)
    #expect(Association.mutualInformation([[1, 0], [0, 2]]).isNaN, "too few to say anything")
    #expect(
      abs(Association.mutualInformation([[50, 0, 0], [0, 50, 0]]) - equal) < 1e-12, "what never occurs does not count")
    #expect(abs(Association.correlation([(1, 1), (2, 2), (3, 4)]) - 3 / (2 * 42.0 / 9).squareRoot()) < 1e-12)
    #expect(Association.correlation([(1, 5), (2, 5), (3, 5)]).isNaN)
  }

  @Test(arguments: [
    ("the", TokenClass.letters), (" the", .wordStart), ("The", .capital), (" ", .space), ("\n\n", .space),
    ("42", .digits), (", ", .other), (".", .punctuation), ("x1", .other), ("é", .letters), ("", .other),
  ]) func kindsOfTokens(text: String, expected: TokenClass) {
    #expect(TokenClass(of: [UInt8](text.utf8)) == expected)
    #expect(TokenClass(of: [0xC3]) == .other)
  }

  private func analyze(_ kind: AnalysisSession.Kind, _ models: [String], data: [String]) throws -> (
    text: String, files: [String]
  ) {
    var options = AnalysisSession.Options()
    (options.kind, options.models, options.data) = (kind, models, data)
    (options.samples, options.out, options.threads, options.printsJSON) = (12, scratch("out"), 2, true)
    let (output, errors) = (TextBuffer(), TextBuffer())
    try AnalysisSession(options, CommandSinks(output: output, errors: errors)).run()
    let json = try #require(try JSONSerialization.jsonObject(with: Data(output.text.utf8)) as? [String: Any])
    return (errors.text, try #require(json["files"] as? [String]))
  }

  /// A run over training, an image and a language model side by side, every file.
  @Test(.disabled(if: Gnuplot() == nil, "needs gnuplot: apt-get install gnuplot-nox"))
  func filesOfEveryAnalysis() throws {
    try TinyRun(["moe.variant=dgmoe", "train.steps=3", "checkpoint.every=1", "checkpoint.keep=9"]).train(
      into: scratch("images"))
    try TinyTextRun(["moe.variant=top2", "train.steps=2"]).train(into: scratch("text"))
    let (images, text) = (scratch("images"), scratch("text") + "/step-0000002.h5")
    let data = [TinyRun.data.path, TinyTextRun.data.path]
    let tables = [
      AnalysisSession.Kind.routing: ["calls.csv", "layers.csv", "load.csv", "specialization.csv"],
      .similarity: ["similarity.csv", "changes.csv"], .gradients: ["gradients.csv"],
      .sharing: ["sharing.csv", "information-flow.csv", "banks.csv", "demands.csv"],
    ]
    let pictures = [
      AnalysisSession.Kind.routing: [
        "over-training.png", "load.png", "scores.png", "experts-by-class.png", "patches.png",
      ],
      .similarity: ["similarity.png", "changes.png"], .gradients: ["gradients.png", "gradient-paths.png"],
      .sharing: ["efficiency.png", "information-flow.png", "gap.png"],
    ]
    for kind in AnalysisSession.Kind.allCases {
      let found = try analyze(kind, [images, text], data: data)
      let names = found.files.map { ($0 as NSString).lastPathComponent }
      #expect(names == tables[kind]! + pictures[kind]!)
      for file in found.files.filter({ $0.hasSuffix(".csv") && !$0.hasSuffix("demands.csv") }) {
        let lines = try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n")
        #expect(lines.contains { $0.hasPrefix("debug dgmoe,") } && lines.contains { $0.hasPrefix("gpt-toy top2,") })
      }
      #expect(found.text.contains("debug dgmoe") && found.text.contains("gpt-toy top2"))
    }
    let calls = try String(contentsOfFile: scratch("out") + "/calls.csv", encoding: .utf8).split(separator: "\n")
    // Three checkpoints of two calls, one of one.
    #expect(calls.count == 1 + 3 * 2 + 1)
  }

  @Test func namesOfAStudy() {
    func short(_ names: [String]) -> [String] { AnalysisSession.distinguishing(names) }
    #expect(
      short(["run-scmoe-pos2-lr0.001-seed0", "run-scmoe-bank-lr0.001-seed0", "run-dgmoe-lr0.001-seed0"])
        == ["scmoe-pos2", "scmoe-bank", "dgmoe"])
    #expect(short(["a-b", "a"]) == ["a-b", "a"] && short(["a-b"]) == ["a-b"] && short(["x", "x"]) == ["x", "x"])
  }

  @Test func errorsAreOneLine() throws {
    try FileManager.default.createDirectory(atPath: scratch("empty"), withIntermediateDirectories: true)
    func failure(_ models: [String], _ data: [String]) -> String {
      do { _ = try analyze(.routing, models, data: data) } catch { return "\(error)" }
      return ""
    }
    #expect(
      failure([scratch("empty")], []).contains("no checkpoint step-*.h5 in it; expected a checkpoint or the folder"))
    #expect(
      failure(["a", "b", "c"], ["x", "y"]).contains("--data: 2 given for 3 models; give one for all, or one a model"))
    #expect(failure([scratch("none.h5")], []).contains("none.h5"))
    try TinyRun(["moe.variant=dense", "train.steps=1"]).train(into: scratch("dense"))
    #expect(
      failure([scratch("dense")], [TinyRun.data.path]).contains(
        "step-0000001.h5: moe.variant is dense, so nothing is routed"))
  }
}
