import MMoEData
import MMoEReport

extension TaskKind {
  /// Classification of the images of a folder by a vision transformer.
  package static let imagenetSubset = TaskKind(
    name: "imagenet-subset", summary: "classes of images",
    dataForm: "a folder with a folder of images per class, or with train/<class> and val/<class>, or fashion-mnist",
    model: .vit, defaultPreset: "vit-shapes",
    metrics: { _ in
      TaskMetrics(
        unit: "images", best: ("top1", higherIsBetter: true, isShare: true),
        headlines: [Headline("top1", "top-1", isShare: true), Headline("top5", "top-5", isShare: true)],
        details: [Headline(MetricName.calibrationError, "calibration error", isShare: true)],
        progress: [Headline(MetricName.trainTop1, "top-1", isShare: true)])
    },
    choosePreset: PresetChoice.images,
    open: { request in
      try ImageData(
        request.path ?? BuiltInImages.prepare(imageSize: request.config.model.vision.image, sink: request.sink),
        known: request.known?["classes"], request.config)
    },
    survey: { path, config in
      let folder = try ImageFolder(path: path, validationShare: config.data.validationShare)
      config.model.vision.classes = folder.classes.count
      var survey = DataSurvey(path)
      survey.count("classes", folder.classes.count)
      for split in DatasetSplit.allCases { survey.count("\(split.rawValue) images", try folder[split].count) }
      survey.note(folder.notes)
      return survey
    })
}
