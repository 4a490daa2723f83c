import MMoEModels
import MMoEParallel
import MMoETensor

extension PairLearning {
  /// The mean of the contrastive losses over every two modalities: of the global batch, in which every sample finds its item's
  /// other one among those of all ranks.
  func compare(
    _ read: PairPass, _ states: PackedStates, items: Int, weight: Float, _ tape: Tape
  ) -> (loss: Double, accuracy: Double) {
    let modalities = config.model.towerModalities
    let partial = training?.partial ?? []
    var rows = modalities.map { modality in
      guard let own = read.compared[modality.name] else {
        return fused.textEmbeddings(states, of: read.comparedTexts.map(\.sequence), tape)
      }
      let found = fused.embeddings(
        fused.pooledRows(states, of: modality.name, own.numbers, tape), of: modality.name, tape)
      guard partial.contains(modality.name) else { return found }
      // Every rank gathers as many rows.
      return tape.placeRows(found, at: own.items.map(Int32.init), of: items)
    }
    if let team { rows = rows.map { team.gatherRows($0, tape) } }
    /// Of every rank's items, whether they have each modality.
    func presence() -> [Float] {
      let own = Tensor.zeros([items, modalities.count])
      for (column, modality) in modalities.enumerated() {
        for item in read.compared[modality.name]?.items ?? Array(0..<items) {
          own.pointer[item * modalities.count + column] = 1
        }
      }
      return (team?.gatherRows(own, Tape(engine, recording: false)) ?? own).values
    }
    let has = partial.isEmpty ? [] : presence()
    var pairs: [(loss: Double, accuracy: Double)] = []
    let all = modalities.count * (modalities.count - 1) / 2
    let share = weight / Float(all)
    for a in modalities.indices {
      for b in modalities.indices where b > a {
        var (x, y) = (rows[a], rows[b])
        if partial.contains(modalities[a].name) || partial.contains(modalities[b].name) {
          let count = modalities.count
          let both = (0..<has.count / count).filter { has[$0 * count + a] > 0 && has[$0 * count + b] > 0 }
          (x, y) = (tape.selectRows(x, both.map(Int32.init)), tape.selectRows(y, both.map(Int32.init)))
        }
        guard x.rows > 0 || partial.isEmpty else {
          // Of no pair: gradients of zero, so that a step trains what it always trains.
          _ = fused.contrastiveLoss(x, y, weight: share, tape)
          continue
        }
        pairs.append(fused.contrastiveLoss(x, y, weight: share, tape))
      }
    }
    // The loss is what the objective holds, in which two modalities that no item has together count 0.
    return (
      pairs.reduce(0) { $0 + $1.loss } / Double(all), pairs.reduce(0) { $0 + $1.accuracy } / Double(max(pairs.count, 1))
    )
  }
}
