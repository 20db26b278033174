<?php

/** Stand-in for the health check: 200 when the database of env.php answers, 500 when it does not. */

declare(strict_types=1);

try {
    require __DIR__ . '/../app/bootstrap.php';
    (new Magento\Framework\App\Services((new Magento\Framework\App\DeploymentConfig(BP))->all()))->requireAll();
} catch (\Throwable $e) {
    error_log('health_check: ' . $e->getMessage());
    http_response_code(500);
    exit(1);
}
