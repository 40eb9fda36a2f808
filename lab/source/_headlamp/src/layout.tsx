// The frame: a bar with who is logged in, the sidebar, the view that the address names, and what an action says when it is done.
import AppBar from '@mui/material/AppBar';
import Box from '@mui/material/Box';
import Button from '@mui/material/Button';
import Toolbar from '@mui/material/Toolbar';
import Typography from '@mui/material/Typography';
import { useQuery } from '@tanstack/react-query';
import { useSnackbar } from 'notistack';
import { useEffect, useRef } from 'react';
import { useTranslation } from 'react-i18next';
import { useDispatch } from 'react-redux';
import { useHistory } from 'react-router-dom';
import { ActivitiesRenderer } from '../headlamp/lib/components/activity/Activity';
import { AppLogo } from '../headlamp/lib/components/App/AppLogo';
import RouteSwitcher from '../headlamp/lib/components/App/RouteSwitcher';
import SettingsButton from '../headlamp/lib/components/App/Settings/SettingsButton';
import Sidebar, { NavigationTabs } from '../headlamp/lib/components/Sidebar/Sidebar';
import { logout } from '../headlamp/lib/lib/auth';
import { useCluster } from '../headlamp/lib/lib/k8s';
import { getClusterUserInfo } from '../headlamp/lib/lib/k8s/api/v1/clusterApi';
import { useTypedSelector } from '../headlamp/lib/redux/hooks';

function Bar() {
  const cluster = useCluster();
  const history = useHistory();
  const { t } = useTranslation();
  // Asked anew when somebody logs in or out: the package's login and logout clear this key.
  const { data: user } = useQuery({
    queryKey: ['clusterMe', cluster],
    queryFn: () => getClusterUserInfo(cluster!),
    enabled: !!cluster,
  });
  const leave = () => logout(cluster!).then(() => history.push(`/c/${cluster}/token`));
  return (
    <AppBar
      position="static"
      elevation={0}
      sx={theme => ({ gridColumn: '1 / 3', background: theme.palette.navbar.background, color: theme.palette.navbar.color })}
    >
      <Toolbar variant="dense" sx={{ gap: 2 }}>
        <AppLogo />
        <Box sx={{ flexGrow: 1 }} />
        <Typography variant="body2" id="user">
          {user?.username !== cluster && user?.username}
        </Typography>
        <SettingsButton />
        {cluster && (
          <Button color="inherit" onClick={leave}>
            {t('translation|Log out')}
          </Button>
        )}
      </Toolbar>
    </AppBar>
  );
}

// An action says in the store what it has come to; each thing is shown once.
function Actions() {
  const actions = useTypedSelector(state => state.clusterAction);
  const { enqueueSnackbar, closeSnackbar } = useSnackbar();
  const dispatch = useDispatch();
  const shown = useRef(new Set<string>());
  useEffect(() => {
    for (const a of Object.values(actions)) {
      if (a.dismissSnackbar) closeSnackbar(a.dismissSnackbar);
      const once = `${a.id} ${a.state}`;
      if (!a.message || shown.current.has(once)) continue;
      shown.current.add(once);
      const cancel = a.buttons?.map(b => (
        <Button key={b.label} color="inherit" onClick={() => dispatch({ type: b.actionToDispatch })}>
          {b.label}
        </Button>
      ));
      enqueueSnackbar(a.message, { key: a.key, autoHideDuration: a.autoHideDuration, ...a.snackbarProps, action: cancel });
    }
  }, [actions]);
  return null;
}

export function Layout() {
  const fullWidth = useTypedSelector(state => state.ui.isFullWidth);
  return (
    <Box sx={{ display: 'grid', height: '100dvh', gridTemplateRows: 'auto 1fr', gridTemplateColumns: 'auto 1fr' }}>
      <Actions />
      <Bar />
      <Box sx={{ display: 'grid', minHeight: 0, gridRow: '2 / 3', gridColumn: '1 / 2' }}>
        <Sidebar />
      </Box>
      <Box
        id="main"
        component="main"
        sx={{ display: 'grid', gridRow: '2 / 3', gridColumn: '2 / 3', gridTemplateRows: '1fr auto', gridTemplateColumns: '0 1fr', minHeight: 0, minWidth: 0 }}
      >
        <Box sx={{ gridColumn: '2 / 3', gridRow: '1 / 2', overflow: 'auto', padding: fullWidth ? 0 : 3 }}>
          <NavigationTabs />
          <RouteSwitcher requiresToken={() => true} />
        </Box>
        <ActivitiesRenderer />
      </Box>
    </Box>
  );
}
