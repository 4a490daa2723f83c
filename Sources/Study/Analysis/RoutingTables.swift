import MMoEModels
import MMoEReport
import MMoETrain

/// The numbers of a routing analysis, one thing a line.
enum RoutingTables {
  typealias Series = RoutingAnalysis.Series

  /// Share of a call's choices that were the same at another checkpoint.
  static func kept(_ call: CallMeasurement, since other: RoutingMeasurement) -> Double {
    other.calls.first { $0.block == call.block && $0.route == call.route }.map(call.agreement) ?? .nan
  }

  static func calls(_ series: [Series]) -> CSVTable {
    let choices = series.flatMap { $0.last.calls.map(\.meanProbabilities.count) }.max() ?? 1
    /// Every name once, in the order of first appearance.
    func distinct(_ labels: [RowLabels]) -> [String] {
      labels.reduce(into: []) { if !$0.contains($1.name) { $0.append($1.name) } }
    }
    let (names, kinds) = (distinct(series.flatMap(\.last.labels)), distinct(series.flatMap(\.last.kinds)))
    var table = CSVTable(
      ["model", "step", "block", "route", "reads", "gate_entropy", "load_entropy", "max_over_mean"]
        + (1...choices).map { "probability_\($0)" } + (1...choices).map { "weight_\($0)" }
        + names.map { "information_\($0)" } + kinds.map { "overlap_\($0)" } + [
          "kept_since_previous", "kept_until_last",
        ])
    for one in series {
      for (index, point) in one.points.enumerated() {
        for call in point.value.calls {
          func padded(_ values: [Double]) -> [String] {
            (0..<choices).map { $0 < values.count ? CSVTable.number(values[$0]) : "" }
          }
          let information = names.map { name in
            point.value.labels.first { $0.name == name }.map {
              CSVTable.number(Association.mutualInformation(call.counts($0)))
            } ?? ""
          }
          let overlap = kinds.map { name in
            point.value.kinds.first { $0.name == name }.map {
              CSVTable.number(Association.overlap(call.counts($0)))
            } ?? ""
          }
          table.add(
            [
              one.label, "\(point.step)", "\(call.block)", "\(call.route)", call.source.name,
              CSVTable.number(call.gateEntropy), CSVTable.number(call.loadEntropy), CSVTable.number(call.imbalance),
            ] + padded(call.meanProbabilities) + padded(call.meanWeights) + information + overlap + [
              index > 0 ? CSVTable.number(kept(call, since: one.points[index - 1].value)) : "",
              CSVTable.number(kept(call, since: one.last)),
            ])
        }
      }
    }
    return table
  }

  static func layers(_ series: [Series]) -> CSVTable {
    var table = CSVTable([
      "model", "step", "block", "preceding", "distance", "distance_relative", "same_expert_share",
    ])
    for one in series {
      for (step, value) in one.points {
        for distance in value.distances {
          table.add([
            one.label, "\(step)", "\(distance.block)", distance.source.name, CSVTable.number(distance.meanDistance),
            CSVTable.number(distance.meanRelative),
            value.sameExpertShare(distance.block).map(CSVTable.number) ?? "",
          ])
        }
      }
    }
    return table
  }

  static func load(_ series: [Series]) -> CSVTable {
    var table = CSVTable(["model", "step", "block", "route", "expert", "share"])
    for one in series {
      for (step, value) in one.points {
        for call in value.calls {
          for (expert, share) in call.load.enumerated() {
            table.add([
              one.label, "\(step)", "\(call.block)", "\(call.route)", "\(expert)", CSVTable.number(share),
            ])
          }
        }
      }
    }
    return table
  }

  /// What each expert takes at the last checkpoint: the choices with each label, and which share of the label's choices
  /// they are; what never occurs is left out.
  static func specialization(_ series: [Series]) -> CSVTable {
    var table = CSVTable(["model", "block", "route", "expert", "kind", "value", "choices", "share_of_value"])
    for one in series {
      for call in one.last.calls {
        for labels in one.last.labels {
          let counts = call.counts(labels)
          let totals = (0..<labels.count).map { label in counts.reduce(0) { $0 + $1[label] } }
          for (expert, row) in counts.enumerated() {
            for (label, count) in row.enumerated() where count > 0 {
              table.add([
                one.label, "\(call.block)", "\(call.route)", "\(expert)", labels.name, labels.describe(label),
                "\(count)", CSVTable.number(Double(count) / Double(totals[label])),
              ])
            }
          }
        }
      }
    }
    return table
  }
}
