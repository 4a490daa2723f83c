import Foundation
import MMoEModels
import MMoEReport
import MMoETrain

extension RoutingAnalysis {
  package typealias Series = AnalysisSeries<RoutingMeasurement>

  package static func report(_ series: [Series]) -> AnalysisOutput {
    AnalysisOutput(
      text: series.map { text($0, titled: series.count > 1) }.joined(separator: "\n")
        + ((series.first?.last).flatMap(ExpertPictures.legend).map { $0 + "\n" } ?? ""),
      tables: [
        ("calls.csv", RoutingTables.calls(series)), ("layers.csv", RoutingTables.layers(series)),
        ("load.csv", RoutingTables.load(series)), ("specialization.csv", RoutingTables.specialization(series)),
      ],
      figures: [
        ("over-training.png", RoutingFigures.overTraining(series)), ("load.png", RoutingFigures.load(series)),
        ("scores.png", RoutingFigures.scores(series)),
      ]
        + (series.first?.last.kinds ?? []).map { labels in
          ("experts-by-\(labels.name).png", RoutingFigures.experts(series[0], by: labels))
        },
      pictures: [("patches.png", (series.first?.last).flatMap(ExpertPictures.sheet))],
      json: ["models": .array(series.map(json))])
  }

  /// Correlation of same-expert share and distance over all layers and checkpoints.
  static func correlation(_ one: Series) -> (value: Double, pairs: Int) {
    let pairs = one.points.flatMap { _, value in
      value.blocks.compactMap { block -> (x: Double, y: Double)? in
        guard let share = value.sameExpertShare(block), let distance = value.distance(block) else { return nil }
        return (distance.meanDistance, share)
      }
    }
    return (Association.correlation(pairs), pairs.count)
  }

  private static func text(_ one: Series, titled: Bool) -> String {
    let (labels, kinds) = (one.last.labels.map(\.name), one.last.kinds.map(\.name))
    var table = TextTable(
      columns: [
        .left("call"), .right("p of choices"), .right("gate entropy"), .right("load entropy"),
        .right("max ÷ mean"), .right("same expert"), .right("distance"),
      ] + labels.map { .right("I(expert; \($0))") } + kinds.map { .right("overlap of \($0)") } + [.right("kept")])
    let value = one.last
    let before = one.points.dropLast().last?.value
    for call in value.calls {
      let distance = value.distance(call.block).map { HumanFormat.fixed($0.meanDistance, 2) } ?? "–"
      let same = value.sameExpertShare(call.block).map { HumanFormat.percent($0) } ?? "–"
      var cells: [String] = [
        call.name, call.meanProbabilities.map { HumanFormat.fixed($0, 3) }.joined(separator: " "),
        HumanFormat.fixed(call.gateEntropy, 3), HumanFormat.fixed(call.loadEntropy, 3),
        HumanFormat.fixed(call.imbalance, 2), same, distance,
      ]
      cells += value.labels.map { labels in
        let information = Association.mutualInformation(call.counts(labels))
        return information.isFinite ? HumanFormat.fixed(information, 3) : "–"
      }
      cells += value.kinds.map { labels in
        let overlap = Association.overlap(call.counts(labels))
        return overlap.isFinite ? HumanFormat.percent(overlap) : "–"
      }
      cells.append(before.map { HumanFormat.percent(RoutingTables.kept(call, since: $0)) } ?? "–")
      table.add(cells)
    }
    let experts = value.calls.first?.experts ?? 1
    var notes = "entropies and information in nats; equal load: \(HumanFormat.fixed(log(Double(experts)), 3))"
    if before != nil { notes += "; kept: share of choices as at the checkpoint before" }
    let found = correlation(one)
    if found.value.isFinite {
      notes +=
        "\ncorrelation of same-expert share and distance over layers and checkpoints: \(HumanFormat.fixed(found.value, 2)) (\(found.pairs) pairs)"
    }
    notes += words(value)
    return (titled ? one.label + "\n" : "") + table.render() + notes + "\n"
  }

  /// For each expert of the last call the most frequent tokens of which no other takes more.
  private static func words(_ value: RoutingMeasurement) -> String {
    guard let call = value.calls.last, let labels = value.labels.first(where: { $0.name == RowLabels.token }) else {
      return ""
    }
    let counts = call.counts(labels)
    var own: [[(token: Int, count: Int)]] = Array(repeating: [], count: call.experts)
    for token in 0..<labels.count {
      let best = counts.indices.max { counts[$0][token] < counts[$1][token] }!
      if counts[best][token] > 0 { own[best].append((token, counts[best][token])) }
    }
    let lines = own.enumerated().filter { !$1.isEmpty }.map { expert, tokens in
      let first = tokens.sorted { ($0.count, $1.token) > ($1.count, $0.token) }.prefix(8)
      return "\nexpert \(expert) of \(call.name) takes more than any other of "
        + first.map { String(reflecting: labels.describe($0.token)) }.joined(separator: " ")
    }
    return lines.joined()
  }

  private static func json(_ one: Series) -> JSONValue {
    func numbers(_ values: [Double]) -> JSONValue { .array(values.map { .double($0) }) }
    let checkpoints = one.points.enumerated().map { index, point in
      let value = point.value
      let calls = value.calls.map { call in
        var fields: [String: JSONValue] = [
          "block": .int(call.block), "route": .int(call.route), "source": .string(call.source.name),
          "probabilities": numbers(call.meanProbabilities), "weights": numbers(call.meanWeights),
          "gate_entropy": .double(call.gateEntropy), "load": numbers(call.load),
          "load_entropy": .double(call.loadEntropy),
          "kept": index > 0 ? .double(RoutingTables.kept(call, since: one.points[index - 1].value)) : .null,
        ]
        for labels in value.labels {
          fields["information_\(labels.name)"] = .double(Association.mutualInformation(call.counts(labels)))
        }
        for labels in value.kinds {
          fields["overlap_\(labels.name)"] = .double(Association.overlap(call.counts(labels)))
        }
        return JSONValue.object(fields)
      }
      let layers = value.blocks.map { block in
        JSONValue.object([
          "block": .int(block),
          "same_expert_share": value.sameExpertShare(block).map { .double($0) } ?? .null,
          "distance": value.distance(block).map { .double($0.meanDistance) } ?? .null,
          "distance_relative": value.distance(block).map { .double($0.meanRelative) } ?? .null,
        ])
      }
      return JSONValue.object(["step": .int(point.step), "calls": .array(calls), "layers": .array(layers)])
    }
    return .object([
      "model": .string(one.label), "correlation": .double(correlation(one).value), "checkpoints": .array(checkpoints),
    ])
  }
}
