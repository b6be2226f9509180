from odoo import models


class QueueJob(models.Model):
    """Jobs of the engine fail without a mail to every manager: incidents tell who is concerned."""

    _inherit = "queue.job"

    def _message_post_on_failure(self):
        ours = self.filtered(lambda job: (job.model_name or "").startswith("integration."))
        return super(QueueJob, self - ours)._message_post_on_failure()
