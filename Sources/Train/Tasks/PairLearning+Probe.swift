import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor

extension PairLearning: ProbedTask {
  /// Images, each with its first caption: patches and tokens in one sequence; for every task, what it reads.
  package func probe(
    _ part: DatasetSplit, samples: Int, everyTask: Bool, pass: () -> ForwardPass,
    _ body: (ProbedBatch) throws -> Void
  ) throws {
    guard let part = part == .val ? validation : training else { preconditionFailure("opened for evaluation only") }
    guard config.model.fusion.kind == .early else {
      throw TrainError(
        "fusion.kind is late: its towers have no common stream of states to look at, expected early; analyze `mmoe train --task imagenet-subset` and `--task lm` models instead"
      )
    }
    let places = spread(samples, over: part.set.count)
    var options = options(.none)
    (options.rank, options.ranks) = (0, 1)
    let loader = try PairLoader(
      PairSource(part.set.selecting(places), shapes: part.source.shapes, policy: config.data.onBadImage),
      captions: places.map { part.captions[$0] }, options: options, order: .evaluation)
    let vision = config.model.vision
    let side = vision.image / vision.patch
    let modalities = Dictionary(
      uniqueKeysWithValues: config.model.modalities.enumerated().map {
        ($1.name, (number: Int32($0), rows: $1.rows(config.model)))
      })
    let isSeparate = config.model.moe.taskRouting
    let probed: Set<PairPass.Task> = isSeparate && everyTask ? tasks.union([.caption]) : [.caption]
    while let batch = try loader.next() {
      let pass = pass()
      let read = PairPass(batch, tokens, probed, readsTextsAlone: true, model: config.model)
      let states = fused(read.packed, pass)
      let targets = read.targets(read.captions, batch, tokens)
      let loss = fused.nextTokenLoss(states, targets: targets, weight: pass.lossWeight, pass.tape).mean
      /// A value for each row of a sample, and one for each token, sequence by sequence.
      func rows(
        sample: (_ sequence: Int, _ modality: String, _ place: Int) -> Int32,
        token: (_ sequence: Int, _ id: Int32) -> Int32
      ) -> [Int32] {
        read.packed.sequences.enumerated().flatMap { number, sequence in
          sequence.segments.flatMap { segment in
            switch segment {
            case .sample(let name, _): (0..<modalities[name]!.rows).map { sample(number, name, $0) }
            case .text(let ids): ids.map { token(number, $0) }
            }
          }
        }
      }
      /// A text alone is not known by its class.
      func label(_ sequence: Int) -> Int32 { read.items[sequence] < 0 ? -1 : batch.labels[read.items[sequence]] }
      func task(_ sequence: Int) -> Int32 { read.packed.sequences[sequence].task }
      let classes = validation.set.labels
      let names = config.model.fusion.modalities
      let language = modalities[LanguageModality.name]!.number
      var kinds = [
        RowLabels(
          name: "modality", count: names.count,
          values: rows(sample: { _, name, _ in modalities[name]!.number }, token: { _, _ in language }),
          describe: { names[$0] }),
        RowLabels(
          name: RowLabels.patch, count: side * side,
          values: rows(
            sample: { _, name, place in name == VisionModality.name ? Int32(place) : -1 }, token: { _, _ in -1 }),
          describe: { "row \($0 / side) column \($0 % side)" }),
        RowLabels(
          name: RowLabels.token, count: tokens.tokenizer.vocabularySize,
          values: rows(sample: { _, _, _ in -1 }, token: { $1 }),
          describe: { [tokens] id in
            String(decoding: (try? tokens.tokenizer.bytes(of: Int32(id))) ?? [], as: UTF8.self)
          }),
      ]
      if isSeparate, everyTask {
        kinds.append(
          RowLabels(
            name: "task", count: FusionConfig.Task.allCases.count,
            values: rows(sample: { sequence, _, _ in task(sequence) }, token: { sequence, _ in task(sequence) }),
            describe: { "\(FusionConfig.Task.allCases[$0])" }))
      }
      if !classes.isEmpty {
        kinds.append(
          RowLabels(
            name: "class", count: classes.count,
            values: rows(sample: { sequence, _, _ in label(sequence) }, token: { sequence, _ in label(sequence) }),
            describe: { classes[$0] }))
      }
      // The first reading's images, with their first rows.
      var (row, shown): (Int, [(sample: Int, row: Int)]) = (0, [])
      let images = batch.samples[VisionModality().sample]
      for sequence in read.packed.sequences {
        for segment in sequence.segments {
          switch segment {
          case .sample(let name, let index):
            if name == VisionModality.name, let images, index < images.items.count { shown.append((index, row)) }
            row += modalities[name]!.rows
          case .text(let ids): row += ids.count
          }
        }
      }
      let pictures = { [config, shown] (count: Int) in
        shown.prefix(count).map { sample, row in
          ProbedPicture(
            images!.values, sample: sample, normalization: config.data.pixelNormalization, side: side, row: row)
        }
      }
      try body(
        ProbedBatch(
          pass: pass, loss: loss, counted: targets.joined().count { $0 >= 0 }, labels: kinds, pictures: pictures))
    }
  }
}
